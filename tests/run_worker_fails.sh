#!/bin/sh
# A worker that fails on a real MPI: the run ends on every rank, with one status,
# within seconds.
set -u
[ -n "${MPIEXEC:-}" ] && [ -x tests/mpi_worker_fails ] || {
    echo "no MPI or no Check: skipped"
    exit 77
}
for fault in fail nan; do
    for ranks in 2 3 4; do
        timeout 60 "$MPIEXEC" -np $ranks tests/mpi_worker_fails $fault || {
            echo "run_worker_fails: $fault on $ranks ranks: status $?" >&2
            exit 1
        }
    done
done

# A rank without memory for its messages cannot even report; it ends the run.
[ -n "${ASAN_OPTIONS:-}" ] && exit 0 # reserves more than any limit
out=$(mktemp -d) || exit 1
trap 'rm -rf "$out"' EXIT
cat > "$out/limited" <<'EOF'
#!/bin/sh
[ "${OMPI_COMM_WORLD_RANK:-${PMIX_RANK:-0}}" = 1 ] && ulimit -v 560000
exec "$PICARD_DAG" "$@"
EOF
chmod +x "$out/limited"
timeout 120 "$MPIEXEC" -np 2 "$out/limited" run "${srcdir:-.}/examples/gaussian.pb" \
    -q --set gaussian.shape=16777216 --set gaussian.modes=1 \
    --set sampler.steps=10 --set block_rows=5 --checkpoint-seconds 0 -o "$out/o" > "$out/text" 2>&1
status=$?
[ $status = 1 ] || {
    echo "run_worker_fails: a rank without memory: status $status" >&2
    cat "$out/text" >&2
    exit 1
}
