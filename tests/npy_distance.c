/* tests/npy_distance.c: npy_distance A B MAX: relative RMS difference of two .npy
 * files of one shape; exit status 0 where it is at most MAX. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/npy.h"

int main(int argc, char **argv)
{
    float *data[2] = {NULL, NULL};
    int n_dims[2];
    size_t dims[2][PDAG_MAX_DIMS];
    size_t count = 1;
    double difference = 0.0;
    double scale = 0.0;
    double relative;

    if (argc != 4)
        return 2;
    for (int i = 0; i < 2; i++) {
        if (pdag_npy_read(argv[i + 1], &data[i], &n_dims[i], dims[i]) !=
            PDAG_OK) {
            fprintf(stderr, "%s\n", pdag_error_text());
            return 2;
        }
    }
    if (n_dims[0] != n_dims[1] ||
        memcmp(dims[0], dims[1], (size_t)n_dims[0] * sizeof dims[0][0]) != 0) {
        fprintf(stderr, "shapes differ\n");
        return 1;
    }
    for (int d = 0; d < n_dims[0]; d++)
        count *= dims[0][d];
    for (size_t i = 0; i < count; i++) {
        double a = (double)data[0][i];
        double b = (double)data[1][i];

        difference += (a - b) * (a - b);
        scale += b * b;
    }
    free(data[0]);
    free(data[1]);
    relative = sqrt(difference / scale);
    printf("%g\n", relative);
    return relative <= strtod(argv[3], NULL) ? 0 : 1;
}
