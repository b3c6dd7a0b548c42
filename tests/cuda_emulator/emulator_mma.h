/* The warp's matrix instructions of backend/cuda_mma.cuh, written anew from the
 * PTX manual's pictures of which lane holds what.  Included by that file. */
#ifndef PDAG_EMULATOR_MMA_H
#define PDAG_EMULATOR_MMA_H

namespace emulator {

/* in: a lane's row address.  out: four registers. */
inline void read_matrices(const lane_data *in, lane_data *out, int transposed)
{
    for (int lane = 0; lane < LANES; lane++)
        for (int matrix = 0; matrix < 4; matrix++) {
            unsigned short pair[2];

            for (int i = 0; i < 2; i++) {
                const int row = transposed ? 2 * (lane % 4) + i : lane / 4;
                const int column = transposed ? lane / 4 : 2 * (lane % 4) + i;
                const unsigned short *from;

                std::memcpy(&from, in[8 * matrix + row], sizeof from);
                pair[i] = from[column];
            }
            std::memcpy(out[lane] + 4 * matrix, pair, sizeof pair);
        }
}

struct product {
    unsigned a[4], b[2];
    float sum[4];
};

template <typename T>
float element(unsigned bits, int half)
{
    T value;

    value.bits = (unsigned short)(bits >> 16 * half);
    return to_float(value);
}

template <typename T>
void multiply_all(const lane_data *in, lane_data *out, int)
{
    float a[16][16], b[16][8];

    for (int lane = 0; lane < LANES; lane++) {
        product mine;

        std::memcpy(&mine, in[lane], sizeof mine);
        for (int half = 0; half < 2; half++) {
            const int at = 2 * (lane % 4) + half;

            a[lane / 4][at] = element<T>(mine.a[0], half);
            a[lane / 4 + 8][at] = element<T>(mine.a[1], half);
            a[lane / 4][at + 8] = element<T>(mine.a[2], half);
            a[lane / 4 + 8][at + 8] = element<T>(mine.a[3], half);
            b[at][lane / 4] = element<T>(mine.b[0], half);
            b[at + 8][lane / 4] = element<T>(mine.b[1], half);
        }
    }
    for (int lane = 0; lane < LANES; lane++) {
        product mine;

        std::memcpy(&mine, in[lane], sizeof mine);
        for (int i = 0; i < 4; i++) {
            const int row = lane / 4 + i / 2 * 8;
            const int column = 2 * (lane % 4) + i % 2;

            for (int k = 0; k < 16; k++)
                mine.sum[i] += a[row][k] * b[k][column];
        }
        std::memcpy(out[lane], mine.sum, sizeof mine.sum);
    }
}

} // namespace emulator

inline void load_matrices(const void *row, unsigned (&to)[4])
{
    emulator::check_aligned(row, 16);
    emulator::collective(__FILE__, __LINE__, emulator::read_matrices, 0, &row,
                         sizeof row, to, sizeof to);
}

inline void load_transposed(const void *row, unsigned (&to)[4])
{
    emulator::check_aligned(row, 16);
    emulator::collective(__FILE__, __LINE__, emulator::read_matrices, 1, &row,
                         sizeof row, to, sizeof to);
}

template <typename T>
inline void multiply(float (&sum)[4], const unsigned (&a)[4], unsigned b0,
                     unsigned b1, T)
{
    const emulator::product mine = {{a[0], a[1], a[2], a[3]},
                                    {b0, b1},
                                    {sum[0], sum[1], sum[2], sum[3]}};

    emulator::collective(__FILE__, __LINE__, emulator::multiply_all<T>, 0,
                         &mine, sizeof mine, sum, sizeof sum);
}

#endif
