#include "worker/evaluate.h"

pdag_status pdag_worker_evaluate(pdag_pipeline *pipeline,
                                 const pdag_worker_rows *rows,
                                 size_t *most_rows, float *eps_out,
                                 int *parts_out)
{
    size_t first = 0;
    int parts = 0;

    while (first < rows->n) {
        size_t n = rows->n - first;
        pdag_status status;

        if (*most_rows > 0 && n > *most_rows)
            n = *most_rows;
        status = pdag_pipeline_eval(
            pipeline, n, rows->x + first * rows->dim, rows->t + first,
            rows->condition, rows->mix, eps_out + first * rows->dim);
        if (status == PDAG_ERR_NOMEM && n > 1) {
            *most_rows = (n + 1) / 2;
            continue;
        }
        if (status != PDAG_OK)
            return status;
        first += n;
        parts++;
    }
    *parts_out = parts;
    return PDAG_OK;
}

pdag_status pdag_worker_advise(pdag_status status, const char *what)
{
    if (status != PDAG_ERR_NOMEM)
        return status;
    return pdag_error_prefix(status,
                             "not enough memory %s (fewer ranks on a device or "
                             "host, or model.precision=bfloat16, need less)",
                             what);
}
