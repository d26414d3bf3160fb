#!/bin/sh
# pure.sh ARCHIVE: the core does no I/O and reads no clock: of what its object files leave undefined,
# nothing may be a function that does.
set -eu
bad=$(nm -u "$1" | sed -n 's/^ *U //p' | sort -u |
    grep -E '^(open|openat|creat|close|read|write|p?readv?|p?writev?|fopen|fclose|fread|fwrite|fput.|puts|printf|vf?printf|fprintf|__.*printf_chk.*f|unlink|rename|mkdir|stat|fstat|socket|connect|send|recv|poll|select|epoll_.*|fork|execv?.*|posix_spawn|kill|time|clock|clock_.*|gettimeofday|nanosleep|u?sleep|getenv|setenv|rand|random|getrandom|getpid|log_.*|fs_.*|localtime.*|gmtime.*|tzset)$' || true)
if [ -n "$bad" ]; then
    echo "scheduler/core uses:" $bad >&2
    exit 1
fi
