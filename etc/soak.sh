#!/bin/sh
# Replays each folder of bundles ten times in every mode at 1, 2, 3, 8 and 16 threads; any
# difference ends it. Five rounds are of one process, which keeps threads, codes and memory from
# one to the next.
# usage: soak.sh PROGRAM FOLDER...
set -eu
program=$1
shift
lists=target/soak-lists
mkdir -p target

replay() {
    "$program" replay "$@" --repro target/soak-repro >target/soak.log 2>&1 || {
        tail -n 20 target/soak.log
        echo "differs: replay $*"
        exit 1
    }
}

for folder in "$@"; do
    rm -rf "$lists"
    replay "$folder" --mode seq --write-bal "$lists"
    for threads in 1 2 3 8 16; do
        for process in 1 2; do
            replay "$folder" --mode all --bal "$lists" --threads "$threads" --rounds 5
        done
        echo "$folder: $threads threads, 10 rounds: $(tail -n 1 target/soak.log | cut -d ';' -f 1)"
    done
done
