#!/usr/bin/env bash
# Registrations per second, and server CPU for each, of Callboard and of Kamailio: the same SIPp scenarios, users and calls
# under way, in turn, on loopback.
#
#   loadtest/sip/compare.sh --server target/release/callboard [--pairs 3] [--cases "udp-none udp-md5 tcp-none tcp-md5"]
#       [--registrations 100000] [--users 50000] [--outstanding 400] [--port 15060] [--children 2]
#
# Kamailio keeps its bindings in memory (kamailio.cfg beside this file); Callboard's are durable before each 200. Over UDP
# there are two SIPp processes, because one cannot load either server; over TCP one, with one connection. Each run has a
# fresh server. CPU is that of all processes of a server, from before the first request to after the last answer.
#
# SIPp 3.6 computes MD5 only, and looks at the first of several challenges: so MD5 is offered first, and SHA-256 after it.
#
# Without Digest Callboard trusts 127.0.0.0/8; with it the users' passwords are stored beforehand. Bounds of one source do not
# hold for 127.0.0.0/8 in either case: here one address stands for all phones.
#
# Ends with 0 if no call failed, 1 if one did, 2 if it could not do its work. It installs nothing.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"

server="" pairs=3 cases="udp-none udp-md5 tcp-none tcp-md5"
registrations=100000 users=50000 outstanding=400 port=15060 children=2
# Longest time of one SIPp run, and of one server to be ready, in seconds.
run_seconds=120 ready_seconds=60

die() {
    printf 'compare.sh: %s\n' "$1" >&2
    exit 2
}

while (($# > 0)); do
    case "$1" in
        --server | --pairs | --cases | --registrations | --users | --outstanding | --port | --children)
            (($# > 1)) || die "$1 needs a value"
            printf -v "${1#--}" '%s' "$2"
            shift 2
            ;;
        -h | --help)
            sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}"
            exit 0
            ;;
        *) die "unknown option $1; see --help" ;;
    esac
done
for number in pairs registrations users outstanding port children; do
    [[ ${!number} =~ ^[1-9][0-9]{0,8}$ ]] || die "--$number must be a number"
done
for one in $cases; do
    [[ $one =~ ^(udp|tcp)-(none|md5)$ ]] || die "unknown case $one"
done
[[ -x $server ]] || die "--server must name the callboard program"
server="$(realpath "$server")"

PATH="$PATH:/usr/sbin:/sbin"
missing=()
command -v sipp >/dev/null || missing+=(sip-tester)
command -v kamailio >/dev/null || missing+=(kamailio)
command -v curl >/dev/null || missing+=(curl)
command -v ps >/dev/null || missing+=(procps)
((${#missing[@]} == 0)) || die "missing, please install (Debian names): ${missing[*]}"
if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
    die "port $port is in use; choose another one with --port"
fi

scratch="$(mktemp -d -t callboard-compare-XXXXXX)"
pids=()
# Stop what was started here, and nothing else.
stop_all() {
    local pid
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
    pids=()
}
trap 'stop_all; rm -rf "$scratch"' EXIT
trap 'exit 2' INT TERM
cd "$scratch"

# Each SIPp process has users of its own.
write_users() {
    awk -v count="$users" -v files=2 'BEGIN {
        for (f = 1; f <= files; f++) print "SEQUENTIAL" > ("users." f ".csv")
        for (u = 0; u < count; u++) {
            name = sprintf("u%06d", u)
            line = name ";[authentication username=" name " password=secret]"
            print line > ("users." (u % files + 1) ".csv")
            print line > "users.all.body"
        }
    }'
    { echo SEQUENTIAL; cat users.all.body; } >users.all.csv
}

# CPU of a process and its children so far, in ticks of 10 ms.
ticks() {
    local pid
    for pid in "$1" $(ps -o pid= --ppid "$1"); do
        cat "/proc/$pid/stat" 2>/dev/null || true
    done | sed 's/.*) //' | awk '{ sum += $12 + $13 } END { print sum + 0 }'
}

# wait_for WHAT COMMAND...: until the command succeeds.
wait_for() {
    local what="$1" tries=$((ready_seconds * 20))
    shift
    until "$@" 2>/dev/null; do
        ((tries-- > 0)) || die "$what is not ready after $ready_seconds s; its log: $(tail -5 server.log)"
        sleep 0.05
    done
}

answers() { (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; }

start_kamailio() {
    local defines=(-A "CHILDREN=$children")
    [[ $1 == md5 ]] && defines+=(-A WITH_AUTH)
    rm -f kamailio.pid
    kamailio -DD -E -m 512 -M 16 -P "$scratch/kamailio.pid" -Y "$scratch" -w "$scratch" "${defines[@]}" \
        -l "udp:127.0.0.1:$port" -l "tcp:127.0.0.1:$port" -f "$here/kamailio.cfg" >server.log 2>&1 &
    server_pid=$!
    pids+=("$server_pid")
    wait_for Kamailio answers
    # Its workers are forked one after the other.
    sleep 1
}

# start_callboard none|md5 DATA
start_callboard() {
    local trusted=127.0.0.0/8
    [[ $1 == md5 ]] && trusted=""
    rm -f ready.json
    env CALLBOARD__LISTEN__WPI= CALLBOARD__LISTEN__WPI_SECURE= CALLBOARD__LISTEN__DCMP= CALLBOARD__LISTEN__EDGE= \
        CALLBOARD__LISTEN__METRICS= CALLBOARD__LISTEN__SIP_TLS= CALLBOARD__LISTEN__ADMIN=127.0.0.1:0 \
        CALLBOARD__LISTEN__SIP_UDP="127.0.0.1:$port" CALLBOARD__LISTEN__SIP_TCP="127.0.0.1:$port" \
        CALLBOARD__LIMITS__EXEMPT_NETWORKS=127.0.0.0/8 CALLBOARD__SIP__TRUSTED_NETWORKS="$trusted" \
        CALLBOARD__SIP__ALGORITHMS=md5-sha-256 \
        "$server" serve --data-dir "$2" --ready-file "$scratch/ready.json" >server.log 2>&1 &
    server_pid=$!
    pids+=("$server_pid")
    wait_for Callboard test -s ready.json
    wait_for Callboard answers
}

# api METHOD PATH BODY_FILE
api() {
    curl --silent --show-error --fail-with-body --insecure --max-time 60 --request "$1" --header @authorization \
        --header 'Content-Type: application/json' --data-binary "@$3" --output api.answer \
        "https://$admin/api/v1$2" || die "the API refuses $1 $2: $(cut -c1-300 api.answer)"
}

# The store of a Callboard that knows all users: made once, copied for each run.
prepare_callboard() {
    start_callboard md5 "$scratch/known"
    admin="$(sed -n 's/.*"admin": *"\([^"]*\)".*/\1/p' ready.json)"
    [[ -n $admin ]] || die "no door of the API in the ready file"
    (umask 077 && printf 'Authorization: Bearer %s\n' "$(cat known/admin-token)" >authorization)
    echo '{"domains": ["sip.test"]}' >body
    api PUT /sip/realms/sip.test body
    local first
    for ((first = 0; first < users; first += 1000)); do
        awk -v first="$first" -v count="$users" 'BEGIN {
            printf "{\"credentials\": ["
            for (u = first; u < first + 1000 && u < count; u++)
                printf "%s{\"username\": \"u%06d\", \"password\": \"secret\"}", (u > first ? ", " : ""), u
            print "]}"
        }' >body
        api POST /sip/realms/sip.test/credentials body
        grep -q '"failed":\[\]' api.answer || die "users are not stored: $(cut -c1-300 api.answer)"
    done
    stop_all
}

# statistic COLUMN FILE: the last value of a column of SIPp's statistics.
statistic() {
    awk -F';' -v name="$1" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) column = i } END { print $column + 0 }' "$2"
}

# run TRANSPORT DIGEST: SIPp against the server that runs. Sets rate, cpu, failed.
run() {
    local scenario="$here/register.xml" processes=1 mode=t1 list=all
    [[ $2 == md5 ]] && scenario="$here/register-md5.xml"
    [[ $1 == udp ]] && processes=2 mode=u1
    local begin end before after i own sipps=()
    rm -f sipp.*.csv
    before="$(ticks "$server_pid")"
    begin="$(date +%s%N)"
    for ((i = 1; i <= processes; i++)); do
        [[ $1 == udp ]] && list=$i
        timeout "$run_seconds" sipp "127.0.0.1:$port" -s sip.test -sf "$scenario" -inf "users.$list.csv" -t "$mode" \
            -i 127.0.0.1 -p $((port + 10 * i)) -r 1000000 -rp 1000 -l $((outstanding / processes)) \
            -m $((registrations / processes)) -nostdin -recv_timeout 20000 -buff_size 1048576 \
            -trace_stat -stf "sipp.$i.csv" -fd 60 >"sipp.$i.log" 2>&1 &
        sipps+=("$!")
        pids+=("$!")
    done
    # Its exit code says that a call failed; so do the statistics.
    for own in "${sipps[@]}"; do wait "$own" || true; done
    end="$(date +%s%N)"
    after="$(ticks "$server_pid")"
    local good=0
    failed=0
    for ((i = 1; i <= processes; i++)); do
        [[ -s sipp.$i.csv ]] || die "SIPp did not run: $(tail -5 "sipp.$i.log")"
        good=$((good + $(statistic 'SuccessfulCall(C)' "sipp.$i.csv")))
        failed=$((failed + $(statistic 'FailedCall(C)' "sipp.$i.csv")))
    done
    # Calls that a SIPp that was stopped did not end.
    failed=$((failed + registrations / processes * processes - good - failed))
    read -r rate cpu < <(awk -v good="$good" -v ns=$((end - begin)) -v ticks=$((after - before)) \
        'BEGIN { printf "%.0f %.2f\n", good * 1e9 / ns, good ? ticks * 1e4 / good : 0 }')
}

# one SERVER TRANSPORT DIGEST: a fresh server and a run. Leaves a line in results.
one() {
    case "$1" in
        kamailio) start_kamailio "$3" ;;
        callboard)
            rm -rf data
            if [[ $3 == md5 ]]; then cp -a known data; fi
            start_callboard "$3" "$scratch/data"
            ;;
    esac
    run "$2" "$3"
    stop_all
    printf '%s %s %s\n' "$rate" "$cpu" "$failed" >"result.$1"
    all_failed=$((all_failed + failed))
}

# Medians of the columns of standard input.
medians() {
    awk '{ for (i = 1; i <= NF; i++) value[i, NR] = $i; columns = NF }
        END {
            for (i = 1; i <= columns; i++) {
                for (a = 1; a <= NR; a++)
                    for (b = a + 1; b <= NR; b++)
                        if (value[i, b] < value[i, a]) { t = value[i, a]; value[i, a] = value[i, b]; value[i, b] = t }
                low = value[i, int((NR + 1) / 2)]
                high = value[i, int(NR / 2) + 1]
                printf "%s%.3f", (i > 1 ? " " : ""), (low + high) / 2
            }
            print ""
        }'
}

line='%-9s %-7s %12s %9s %12s %9s %11s %10s %7s\n'
write_users
[[ $cases == *md5* ]] && prepare_callboard
all_failed=0
printf "$line" case pair kamailio/s 'us each' callboard/s 'us each' 'rate ratio' 'CPU ratio' failed
for case in $cases; do
    transport="${case%-*}" digest="${case#*-}"
    : >figures
    case_failed=0
    for ((pair = 1; pair <= pairs; pair++)); do
        order=(kamailio callboard)
        ((pair % 2 == 1)) || order=(callboard kamailio)
        for one in "${order[@]}"; do one "$one" "$transport" "$digest"; done
        read -r their_rate their_cpu their_failed <result.kamailio
        read -r our_rate our_cpu our_failed <result.callboard
        ratios="$(awk -v a="$our_rate" -v b="$their_rate" -v c="$our_cpu" -v d="$their_cpu" \
            'BEGIN { printf "%.3f %.3f", b ? a / b : 0, d ? c / d : 0 }')"
        printf '%s %s %s %s %s\n' "$their_rate" "$their_cpu" "$our_rate" "$our_cpu" "$ratios" >>figures
        case_failed=$((case_failed + their_failed + our_failed))
        # shellcheck disable=SC2086 # two columns
        printf "$line" "$case" "$pair" "$their_rate" "$their_cpu" "$our_rate" "$our_cpu" $ratios \
            "$((their_failed + our_failed))"
    done
    # shellcheck disable=SC2046 # six columns
    printf "$line" "$case" median $(medians <figures) "$case_failed"
done
((all_failed == 0)) || {
    printf 'compare.sh: %d calls failed\n' "$all_failed" >&2
    exit 1
}
