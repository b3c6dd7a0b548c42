#include "solvers/gram.h"

#include <math.h>

#include "solvers/solver.h"

#define MAX PDAG_SOLVER_MAX_HISTORY

/* Lower Cholesky factor of G + ridge I. */
static bool factor(size_t n, const double *gram, size_t stride, double ridge,
                   double lower[][MAX])
{
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j <= i; j++) {
            double sum = gram[i * stride + j] + (i == j ? ridge : 0.0);

            for (size_t l = 0; l < j; l++)
                sum -= lower[i][l] * lower[j][l];
            if (j < i)
                lower[i][j] = sum / lower[j][j];
            else if (sum > 0.0 && isfinite(sum))
                lower[i][i] = sqrt(sum);
            else
                return false;
        }
    }
    return true;
}

bool pdag_gram_solve(size_t n, const double *gram, size_t stride, double ridge,
                     const double *q, double *g_out)
{
    double lower[MAX][MAX];
    bool solved = factor(n, gram, stride, ridge, lower);

    for (size_t i = 0; solved && i < n; i++) {
        double sum = q[i];

        for (size_t l = 0; l < i; l++)
            sum -= lower[i][l] * g_out[l];
        g_out[i] = sum / lower[i][i];
    }
    for (size_t i = n; solved && i-- > 0;) {
        double sum = g_out[i];

        for (size_t l = i + 1; l < n; l++)
            sum -= lower[l][i] * g_out[l];
        g_out[i] = sum / lower[i][i];
        solved = isfinite(g_out[i]);
    }
    for (size_t i = 0; !solved && i < n; i++)
        g_out[i] = 0.0;
    return solved;
}
