// The two tools of winograd.cpp: the transforms of Winograd's minimal filtering along one axis, and a small matrix product.
#pragma once

#include <cstdint>

namespace {

#ifdef __AVX512F__
constexpr int WIDTH = 16, ROWS = 12;  // floats a register; rows of a block of the matrix product
#else
constexpr int WIDTH = 8, ROWS = 6;
#endif
constexpr int PANEL = 16, PARTS = PANEL / WIDTH;  // channels that lie together, the columns of a block
constexpr int TILE = 4;                           // outputs of a tile along one axis
typedef float vec __attribute__((vector_size(4 * WIDTH), aligned(4), may_alias));

inline vec load(const float* p) { return *reinterpret_cast<const vec*>(p); }
inline void store(float* p, vec v) { *reinterpret_cast<vec*>(p) = v; }
inline vec all(float x) { return x - vec{}; }

// One axis of each transform, from elements `s` apart to elements `z` apart: N points, N + 1 - TILE taps. The points are +-A1, +-B1,
// infinity and, where there are six, 0; these values give the smallest error, about twice that of direct summation.
template <int N> struct Axis {
    static constexpr float A1 = N == 6 ? 0.70710678118654752440f : 0.4f, B1 = N == 6 ? 1.41421356237309504880f : 1.3f;
    static constexpr float A2 = N == 6 ? 0.5f : 0.16f, B2 = N == 6 ? 2.0f : 1.69f;  // their squares
    static constexpr int PAIRS = N == 6;                                             // where the pairs of points begin

    static void input(const vec* d, int s, vec* v, int z) {  // B'
        if constexpr (N == 6) {
            const vec even_a = d[4 * s] - B2 * d[2 * s], odd_a = A1 * (d[3 * s] - B2 * d[s]);
            const vec even_b = d[4 * s] - A2 * d[2 * s], odd_b = B1 * (d[3 * s] - A2 * d[s]);
            v[0] = d[0] - (A2 + B2) * d[2 * s] + d[4 * s];  // A2 * B2 is 1
            v[z] = even_a + odd_a;
            v[2 * z] = even_a - odd_a;
            v[3 * z] = even_b + odd_b;
            v[4 * z] = even_b - odd_b;
            v[5 * z] = d[s] - (A2 + B2) * d[3 * s] + d[5 * s];
        } else {
            const vec even_a = d[2 * s] - B2 * d[0], odd_a = d[3 * s] - B2 * d[s];
            const vec even_b = d[2 * s] - A2 * d[0], odd_b = d[3 * s] - A2 * d[s];
            v[0] = odd_a + A1 * even_a;
            v[z] = odd_a - A1 * even_a;
            v[2 * z] = odd_b + B1 * even_b;
            v[3 * z] = odd_b - B1 * even_b;
            v[4 * z] = (A2 * B2) * d[0] - (A2 + B2) * d[2 * s] + d[4 * s];
        }
    }

    static constexpr float CA = 1.0f / (2.0f * (N == 6 ? A2 : A1) * (A2 - B2)), CB = 1.0f / (2.0f * (N == 6 ? B2 : B1) * (B2 - A2));

    static void weight(const vec* g, int s, vec* u, int z) {  // G
        if constexpr (N == 6) {
            const vec even_a = CA * (g[0] + A2 * g[2 * s]), odd_a = (CA * A1) * g[s];
            const vec even_b = CB * (g[0] + B2 * g[2 * s]), odd_b = (CB * B1) * g[s];
            u[0] = g[0];
            u[z] = even_a + odd_a;
            u[2 * z] = even_a - odd_a;
            u[3 * z] = even_b + odd_b;
            u[4 * z] = even_b - odd_b;
            u[5 * z] = g[2 * s];
        } else {
            u[0] = CA * (g[0] + A1 * g[s]);
            u[z] = CA * (A1 * g[s] - g[0]);
            u[2 * z] = CB * (g[0] + B1 * g[s]);
            u[3 * z] = CB * (B1 * g[s] - g[0]);
            u[4 * z] = g[s];
        }
    }

    static void weight_adjoint(const vec* u, int s, vec* g, int z) {  // G'
        if constexpr (N == 6) {
            const vec even_a = CA * (u[s] + u[2 * s]), odd_a = (CA * A1) * (u[s] - u[2 * s]);
            const vec even_b = CB * (u[3 * s] + u[4 * s]), odd_b = (CB * B1) * (u[3 * s] - u[4 * s]);
            g[0] = u[0] + even_a + even_b;
            g[z] = odd_a + odd_b;
            g[2 * z] = A2 * even_a + B2 * even_b + u[5 * s];
        } else {
            g[0] = CA * (u[0] - u[s]) + CB * (u[2 * s] - u[3 * s]);
            g[z] = (CA * A1) * (u[0] + u[s]) + (CB * B1) * (u[2 * s] + u[3 * s]) + u[4 * s];
        }
    }

    static void output(const vec* m, int s, vec* y, int z) {  // A'
        const vec *a = m + PAIRS * s, *b = m + (PAIRS + 2) * s;
        const vec even_a = a[0] + a[s], odd_a = A1 * (a[0] - a[s]);
        const vec even_b = b[0] + b[s], odd_b = B1 * (b[0] - b[s]);
        y[0] = even_a + even_b;
        if constexpr (N == 6) y[0] += m[0];
        y[z] = odd_a + odd_b;
        y[2 * z] = A2 * even_a + B2 * even_b;
        y[3 * z] = A2 * odd_a + B2 * odd_b + m[(N - 1) * s];
    }

    static void output_adjoint(const vec* y, int s, vec* m, int z) {  // A
        const vec even_a = y[0] + A2 * y[2 * s], odd_a = A1 * (y[s] + A2 * y[3 * s]);
        const vec even_b = y[0] + B2 * y[2 * s], odd_b = B1 * (y[s] + B2 * y[3 * s]);
        if constexpr (N == 6) m[0] = y[0];
        m[PAIRS * z] = even_a + odd_a;
        m[(PAIRS + 1) * z] = even_a - odd_a;
        m[(PAIRS + 2) * z] = even_b + odd_b;
        m[(PAIRS + 3) * z] = even_b - odd_b;
        m[(N - 1) * z] = y[3 * s];
    }
};

// `p[i * step + r * row]` for the left factor, element i of the sum in row r.
struct Left {
    const float* data;
    int64_t row, step;
};

// c (R x PANEL, rows c_row apart) <- left (R x n) * right (n x PANEL, rows right_step apart), or that added to it.
template <int R> inline void block(int64_t n, Left left, const float* right, int64_t right_step, float* c, int64_t c_row, bool add) {
    vec sum[R][PARTS];
    for (int r = 0; r < R; r++)
        for (int j = 0; j < PARTS; j++) sum[r][j] = add ? load(c + r * c_row + j * WIDTH) : vec{};
    for (int64_t i = 0; i < n; i++, left.data += left.step, right += right_step) {
        vec columns[PARTS];
        for (int j = 0; j < PARTS; j++) columns[j] = load(right + j * WIDTH);
        for (int r = 0; r < R; r++) {
            const vec factor = all(left.data[r * left.row]);
            for (int j = 0; j < PARTS; j++) sum[r][j] += factor * columns[j];
        }
    }
    for (int r = 0; r < R; r++)
        for (int j = 0; j < PARTS; j++) store(c + r * c_row + j * WIDTH, sum[r][j]);
}

inline void product(int64_t rows, int64_t n, Left left, const float* right, int64_t right_step, float* c, int64_t c_row, bool add) {
    int64_t r = 0;
    const auto at = [&left](int64_t row) { return Left{left.data + row * left.row, left.row, left.step}; };
    for (; r + ROWS <= rows; r += ROWS) block<ROWS>(n, at(r), right, right_step, c + r * c_row, c_row, add);
    for (; r + 4 <= rows; r += 4) block<4>(n, at(r), right, right_step, c + r * c_row, c_row, add);
    for (; r + 2 <= rows; r += 2) block<2>(n, at(r), right, right_step, c + r * c_row, c_row, add);
    for (; r < rows; r++) block<1>(n, at(r), right, right_step, c + r * c_row, c_row, add);
}

}  // namespace
