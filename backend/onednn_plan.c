/* Primitives with their memory objects, kept by shape. */
#include <stdlib.h>
#include <string.h>

#include "backend/onednn_internal.h"
#include "base/mem.h"

pdag_onednn_plan *pdag_onednn_plan_find(pdag_onednn_plan *list,
                                        const size_t key[PDAG_PLAN_KEYS])
{
    for (; list != NULL; list = list->next)
        if (memcmp(list->key, key, sizeof list->key) == 0)
            break;
    return list;
}

static void destroy_memory(dnnl_memory_t memory)
{
    if (memory != NULL)
        dnnl_memory_destroy(memory);
}

void pdag_onednn_plans_destroy(pdag_onednn_plan *list)
{
    while (list != NULL) {
        pdag_onednn_plan *next = list->next;

        destroy_memory(list->src);
        destroy_memory(list->weights);
        destroy_memory(list->bias);
        destroy_memory(list->dst);
        destroy_memory(list->residual);
        destroy_memory(list->scratch);
        if (list->primitive != NULL)
            dnnl_primitive_destroy(list->primitive);
        free(list);
        list = next;
    }
}

/* Memory for one argument, unless the operation has none there. */
static pdag_status add_memory(pdag_onednn *dnn, const pdag_md *md,
                              dnnl_memory_t *memory_out)
{
    if (pdag_md_get(md) == NULL || pdag_md_bytes(md) == 0)
        return PDAG_OK;
    return pdag_dnn_memory(md, dnn->engine, NULL, memory_out);
}

/* What the primitive decided: layout of the weights and scratch space. */
static pdag_status add_queried(pdag_onednn *dnn, const_dnnl_primitive_desc_t pd,
                               pdag_onednn_plan *plan)
{
    pdag_md md;
    pdag_status status = pdag_dnn_query(pd, dnnl_query_weights_md, &md);

    if (status != PDAG_OK)
        return status;
    status = add_memory(dnn, &md, &plan->weights);
    pdag_md_clear(&md);
    if (status == PDAG_OK)
        status = pdag_dnn_query(pd, dnnl_query_scratchpad_md, &md);
    if (status != PDAG_OK)
        return status;
    plan->scratch_bytes = pdag_md_bytes(&md);
    status = add_memory(dnn, &md, &plan->scratch);
    pdag_md_clear(&md);
    return status;
}

static pdag_status fill_plan(pdag_onednn *dnn, const pdag_dnn_op *op,
                             dnnl_primitive_desc_t pd, pdag_onednn_plan *plan)
{
    pdag_status status = add_queried(dnn, pd, plan);

    if (status == PDAG_OK)
        status = add_memory(dnn, &op->src, &plan->src);
    if (status == PDAG_OK)
        status = add_memory(dnn, &op->bias, &plan->bias);
    if (status == PDAG_OK)
        status = add_memory(dnn, &op->dst, &plan->dst);
    if (status == PDAG_OK && op->residual == PDAG_DNN_RESIDUAL_OTHER)
        status = add_memory(dnn, &op->dst, &plan->residual);
    if (status == PDAG_OK)
        status = pdag_dnn_check(dnnl_primitive_create(&plan->primitive, pd),
                                op->what);
    return status;
}

pdag_status pdag_onednn_plan_add(pdag_onednn *dnn, const pdag_dnn_op *op,
                                 dnnl_primitive_desc_t pd,
                                 const size_t key[PDAG_PLAN_KEYS],
                                 pdag_onednn_plan **list)
{
    pdag_onednn_plan *plan = pdag_xcalloc(1, sizeof *plan);
    pdag_status status = fill_plan(dnn, op, pd, plan);

    dnnl_primitive_desc_destroy(pd);
    if (status != PDAG_OK) {
        pdag_onednn_plans_destroy(plan);
        return status;
    }
    memcpy(plan->key, key, sizeof plan->key);
    plan->residual_arg = pdag_dnn_residual_arg(op);
    plan->next = *list;
    *list = plan;
    return PDAG_OK;
}

/* One more argument, if the plan has it. */
static int put_arg(dnnl_exec_arg_t *args, int n, int number,
                   dnnl_memory_t memory, void *ptr, dnnl_status_t *status)
{
    if (memory == NULL)
        return n;
    if (*status == dnnl_success)
        *status = dnnl_memory_set_data_handle(memory, ptr);
    args[n].arg = number;
    args[n].memory = memory;
    return n + 1;
}

pdag_status pdag_onednn_plan_run(pdag_onednn *dnn, const pdag_onednn_plan *plan,
                                 void *src, void *weights, void *bias,
                                 void *residual, void *dst)
{
    dnnl_exec_arg_t args[6];
    dnnl_status_t run = dnnl_success;
    void *scratch = NULL;
    int n = 0;
    pdag_status status =
        pdag_onednn_reserve(&dnn->scratch, plan->scratch_bytes, &scratch);

    if (status != PDAG_OK)
        return status;
    n = put_arg(args, n, DNNL_ARG_SRC, plan->src, src, &run);
    n = put_arg(args, n, DNNL_ARG_WEIGHTS, plan->weights, weights, &run);
    n = put_arg(args, n, DNNL_ARG_BIAS, plan->bias, bias, &run);
    n = put_arg(args, n, DNNL_ARG_DST, plan->dst, dst, &run);
    n = put_arg(args, n, plan->residual_arg, plan->residual, residual, &run);
    n = put_arg(args, n, DNNL_ARG_SCRATCHPAD, plan->scratch, scratch, &run);
    if (run == dnnl_success)
        run = dnnl_primitive_execute(plan->primitive, dnn->stream, n, args);
    return pdag_dnn_check(run, "running a primitive");
}
