#include <stdio.h>
#include <string.h>

#include "backend/backend.h"
#include "cli/cli.h"
#include "comm/mpi.h"
#include "graph/transition.h"
#include "models/registry.h"
#include "solvers/solver.h"

/* cli/cmd_info.c: picard-dag info */

#ifndef PDAG_VERSION
#define PDAG_VERSION "unknown"
#endif
#ifndef PDAG_BUILD_FLAGS
#define PDAG_BUILD_FLAGS "unknown"
#endif

static const pdag_precision precisions[] = {
    PDAG_PRECISION_FLOAT32, PDAG_PRECISION_BFLOAT16, PDAG_PRECISION_FLOAT16,
    PDAG_PRECISION_TF32};

static void show_device(const pdag_backend_ops *ops, int number)
{
    pdag_backend *be;

    if (ops->open(number, PDAG_PRECISION_FLOAT32, &be) == PDAG_OK) {
        printf("device %-8d %s\n", number, be->description);
        ops->close(be);
    } else {
        printf("device %-8d not usable (%s)\n", number, pdag_error_text());
    }
}

static void show_backend(const pdag_backend_ops *ops)
{
    char description[128] = "";
    bool any = false;

    printf("backend         %s:", ops->name);
    for (size_t i = 0; i < sizeof precisions / sizeof precisions[0]; i++) {
        pdag_backend *be;

        if (ops->open(0, precisions[i], &be) != PDAG_OK)
            continue;
        printf(" %s", pdag_precision_name(precisions[i]));
        if (!any)
            memcpy(description, be->description, sizeof description);
        any = true;
        ops->close(be);
    }
    if (any)
        printf(" (%s)\n", description);
    else
        printf(" not usable here (%s)\n", pdag_error_text());
    for (int i = 0; any && ops->n_devices != NULL && i < ops->n_devices(); i++)
        show_device(ops, i);
}

static void show_mpi(const pdag_cli *cli)
{
    printf("MPI             %s\n", pdag_mpi_version());
    printf("ranks           %d\n", cli->n_ranks);
    printf("a dead rank     %s\n",
           !pdag_mpi_has_ulfm() ? "ends the run (this MPI has no ULFM)"
           : pdag_mpi_survives()
               ? "is done without"
               : "ends the run, except under mpirun --with-ft ulfm");
}

static int command_info(pdag_cli *cli, int argc, char **argv)
{
    if (argc == 2 && (strcmp(argv[1], "--help") == 0 ||
                      strcmp(argv[1], "-h") == 0)) {
        pdag_cli_usage(&pdag_command_info, stdout);
        return PDAG_EXIT_OK;
    }
    if (argc > 1) {
        fprintf(stderr, "picard-dag: info: takes no arguments, not %s\n",
                argv[1]);
        return PDAG_EXIT_MISUSE;
    }
    printf("picard-dag      %s\n", PDAG_VERSION);
    printf("built with      %s\n", PDAG_BUILD_FLAGS);
    show_mpi(cli);
    for (const pdag_backend_ops *const *b = pdag_backend_list(); *b != NULL; b++)
        show_backend(*b);
    for (const pdag_network_class *const *c = pdag_network_list(); *c != NULL;
         c++)
        printf("network         %s\n", (*c)->name);
    for (size_t i = 0; pdag_transition_kind(i) != NULL; i++)
        printf("sampler         %s\n", pdag_transition_kind(i));
    for (const pdag_solver_ops *const *s = pdag_solver_list(); *s != NULL; s++)
        printf("solver          %s\n", (*s)->name);
    return PDAG_EXIT_OK;
}

const pdag_command pdag_command_info = {
    .name = "info",
    .arguments = "",
    .summary = "Show how the program was built and what it finds here.",
    .options = "",
    .run = command_info,
};
