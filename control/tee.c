#include "control/tee.h"

#include <math.h>

#include "base/fatal.h"

#define MOST_CORNERS 8

const pdag_point pdag_tee_parts[PDAG_TEE_PARTS][PDAG_TEE_CORNERS] = {
    {{-60, 30}, {60, 30}, {60, 0}, {-60, 0}},
    {{-15, 30}, {-15, 120}, {15, 120}, {15, 30}},
};

/* Chosen once by farthest-point sampling of the drawn block, with seed 0. */
const pdag_point pdag_tee_keypoints[PDAG_TEE_KEYPOINTS] = {
    {9.26978671, 90.04097352},    {-60.98347236, -1.18672976},
    {60.91275558, -1.39336422},   {-0.27050344, 25.54362499},
    {-14.06492758, 122.81585355}, {39.0027385, 32.85740428},
    {-39.96641442, 32.72965545},  {-16.82434438, 62.86317892},
    {23.54146122, -1.70028811},
};

const pdag_pose pdag_tee_goal = {256, 256, 0.78539816339744830962};

static const double tee_area = 120 * 30 + 30 * 90;

static pdag_point placed(pdag_pose pose, double cosine, double sine,
                         pdag_point point)
{
    return (pdag_point){pose.x + cosine * point.x - sine * point.y,
                        pose.y + sine * point.x + cosine * point.y};
}

pdag_point pdag_pose_apply(pdag_pose pose, pdag_point point)
{
    return placed(pose, cos(pose.angle), sin(pose.angle), point);
}

/* Twice the signed area of the triangle a, b, c. */
static double turn(pdag_point a, pdag_point b, pdag_point c)
{
    return (b.x - a.x) * (c.y - a.y) - (b.y - a.y) * (c.x - a.x);
}

/* Twice the signed area. */
static double double_area(const pdag_point *corners, size_t n)
{
    double sum = 0;

    for (size_t j = 2; j < n; j++)
        sum += turn(corners[0], corners[j - 1], corners[j]);
    return sum;
}

/* What of the polygon lies on the inner side of the line from a to b, whose inner
   side is where `sign * turn` is positive (Sutherland and Hodgman 1974,
   doi:10.1145/360767.360802). */
static size_t cut(const pdag_point *corners, size_t n, pdag_point a, pdag_point b,
                  double sign, pdag_point *kept)
{
    size_t n_kept = 0;

    for (size_t j = 0; j < n; j++) {
        pdag_point p = corners[j];
        pdag_point q = corners[(j + 1) % n];
        double at_p = sign * turn(a, b, p);
        double at_q = sign * turn(a, b, q);

        if (at_p >= 0)
            kept[n_kept++] = p;
        if ((at_p > 0 && at_q < 0) || (at_p < 0 && at_q > 0)) {
            double part = at_p / (at_p - at_q);

            kept[n_kept++] = (pdag_point){p.x + part * (q.x - p.x),
                                          p.y + part * (q.y - p.y)};
        }
    }
    return n_kept;
}

double pdag_convex_overlap(const pdag_point *a, size_t n_a, const pdag_point *b,
                           size_t n_b)
{
    /* A convex polygon gains at most one corner with each cut. */
    pdag_point rooms[2][2 * MOST_CORNERS];
    double sign = double_area(b, n_b) >= 0 ? 1 : -1;
    size_t n = n_a;

    PDAG_ASSERT(n_a <= MOST_CORNERS && n_b <= MOST_CORNERS);
    for (size_t j = 0; j < n_a; j++)
        rooms[0][j] = a[j];
    for (size_t j = 0; j < n_b && n > 0; j++)
        n = cut(rooms[j % 2], n, b[j], b[(j + 1) % n_b], sign, rooms[(j + 1) % 2]);
    return n < 3 ? 0 : fabs(double_area(rooms[n_b % 2], n)) / 2;
}

static void place_parts(pdag_pose pose,
                        pdag_point parts[PDAG_TEE_PARTS][PDAG_TEE_CORNERS])
{
    double cosine = cos(pose.angle);
    double sine = sin(pose.angle);

    for (int part = 0; part < PDAG_TEE_PARTS; part++)
        for (int j = 0; j < PDAG_TEE_CORNERS; j++)
            parts[part][j] = placed(pose, cosine, sine, pdag_tee_parts[part][j]);
}

double pdag_tee_coverage(pdag_pose pose, pdag_pose goal)
{
    pdag_point here[PDAG_TEE_PARTS][PDAG_TEE_CORNERS];
    pdag_point there[PDAG_TEE_PARTS][PDAG_TEE_CORNERS];
    double area = 0;

    place_parts(pose, here);
    place_parts(goal, there);
    for (int a = 0; a < PDAG_TEE_PARTS; a++)
        for (int b = 0; b < PDAG_TEE_PARTS; b++)
            area += pdag_convex_overlap(here[a], PDAG_TEE_CORNERS, there[b],
                                        PDAG_TEE_CORNERS);
    return area / tee_area;
}
