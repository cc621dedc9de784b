#!/bin/sh
# Replays each folder of bundles ten times at 1, 2, 3 and 8 threads; any difference ends it.
# usage: soak.sh PROGRAM FOLDER...
set -eu
program=$1
shift
for folder in "$@"; do
    for threads in 1 2 3 8; do
        for round in 1 2 3 4 5 6 7 8 9 10; do
            "$program" replay "$folder" --mode all --threads "$threads" \
                --repro target/soak-repro >target/soak.log 2>&1 || {
                tail -n 20 target/soak.log
                echo "$folder: $threads threads, round $round: differs"
                exit 1
            }
        done
        echo "$folder: $threads threads, 10 rounds: $(tail -n 1 target/soak.log | cut -d ';' -f 1)"
    done
done
