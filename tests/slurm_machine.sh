# Sourced by run_slurm.sh: a private Slurm of this machine, as root.
#
#   slurm_start DIR    munged, slurmctld and slurmd with all their files below DIR;
#                      sets SLURM_CONF, so that sbatch and scontrol speak with it
#   slurm_stop         end them and what their jobs left
#   slurm_logs         what they said

# Ports that nobody listens on, from the process number.
slurm_port() {
    port=$((20000 + ($$ * 7 + $1) % 12000))
    while grep -qi ":$(printf %04x $port) 0*:0000 0A" /proc/net/tcp; do
        port=$((port + 2))
    done
    echo $port
}

slurm_config() {
    cat <<EOT
ClusterName=private
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$slurm_dir/munge.socket,cred_expire=5
CredType=cred/munge
SlurmctldPort=$(slurm_port 0)
SlurmdPort=$(slurm_port 1000)
SlurmctldPidFile=$slurm_dir/slurmctld.pid
SlurmdPidFile=$slurm_dir/slurmd.pid
StateSaveLocation=$slurm_dir/state
SlurmdSpoolDir=$slurm_dir/spool
SlurmctldLogFile=$slurm_dir/slurmctld.log
SlurmdLogFile=$slurm_dir/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
KillWait=2
SchedulerParameters=sched_interval=1,sched_min_interval=0,batch_sched_delay=0
SelectType=select/cons_tres
SlurmdParameters=config_overrides
NodeName=$(hostname -s) NodeAddr=127.0.0.1 CPUs=8 RealMemory=1000 State=UNKNOWN
PartitionName=main Nodes=$(hostname -s) Default=YES MaxTime=10 State=UP
EOT
}

slurm_is_idle() {
    sinfo -h -o %T 2>/dev/null | grep -q '^idle$'
}

slurm_start() {
    slurm_dir=$1/slurm
    mkdir -p "$slurm_dir/state" "$slurm_dir/spool" || return 1
    SLURM_CONF=$slurm_dir/slurm.conf
    export SLURM_CONF
    slurm_config > "$SLURM_CONF"
    dd if=/dev/urandom of="$slurm_dir/munge.key" bs=128 count=1 2>/dev/null
    chmod 700 "$slurm_dir" && chmod 400 "$slurm_dir/munge.key"
    munged --force --socket="$slurm_dir/munge.socket" \
        --key-file="$slurm_dir/munge.key" --pid-file="$slurm_dir/munged.pid" \
        --log-file="$slurm_dir/munged.log" --seed-file="$slurm_dir/munged.seed" \
        --num-threads=2 2>"$slurm_dir/munged.err" || return 1
    slurmctld -i || return 1
    slurmd || return 1
    slurm_tries=0
    while ! slurm_is_idle; do
        slurm_tries=$((slurm_tries + 1))
        [ $slurm_tries -lt 60 ] || return 1
        sleep 0.5
    done
}

slurm_stop() {
    [ -n "${slurm_dir:-}" ] || return 0
    scancel --state=RUNNING --state=PENDING 2>/dev/null
    for slurm_daemon in slurmd slurmctld munged; do
        [ -f "$slurm_dir/$slurm_daemon.pid" ] || continue
        slurm_pid=$(cat "$slurm_dir/$slurm_daemon.pid")
        kill "$slurm_pid" 2>/dev/null
        for slurm_tries in 1 2 3 4 5 6 7 8 9 10; do
            kill -0 "$slurm_pid" 2>/dev/null || break
            sleep 0.5
        done
        kill -KILL "$slurm_pid" 2>/dev/null
    done
}

slurm_logs() {
    for slurm_log in munged.err munged.log slurmctld.log slurmd.log; do
        echo "--- $slurm_log"
        tail -n 20 "$slurm_dir/$slurm_log"
    done
}
