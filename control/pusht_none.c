/* In place of control/pusht.c where there is no Chipmunk: just the reason. */
#include "control/pusht.h"

#include <stdbool.h>

#include "base/fatal.h"

pdag_status pdag_pusht_create(pdag_pusht **world_out)
{
    (void)world_out;
    return pdag_error(PDAG_ERR_UNSUPPORTED,
                      "environment pusht: this program was built without Chipmunk "
                      "(Debian: libchipmunk-dev)");
}

void pdag_pusht_destroy(pdag_pusht *world)
{
    PDAG_ASSERT(world == NULL);
}

/* Nobody has a world to call these with. */
void pdag_pusht_reset(pdag_pusht *world, const pdag_pusht_state *start)
{
    (void)world;
    (void)start;
    PDAG_ASSERT(false);
}

pdag_pusht_state pdag_pusht_now(const pdag_pusht *world)
{
    (void)world;
    PDAG_ASSERT(false);
    return (pdag_pusht_state){0};
}

void pdag_pusht_place(pdag_pusht *world, const pdag_pusht_state *state)
{
    (void)world;
    (void)state;
    PDAG_ASSERT(false);
}

void pdag_pusht_step(pdag_pusht *world, double x, double y)
{
    (void)world;
    (void)x;
    (void)y;
    PDAG_ASSERT(false);
}
