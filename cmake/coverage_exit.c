/*
 * Coverage builds only: writes gcov's counters before a process ends by _exit, as workers do. The
 * linker sends every call of _exit here (--wrap=_exit).
 */
#include <stdnoreturn.h>
#include <unistd.h>

void __gcov_dump(void);
void __gcov_reset(void);
noreturn void __real__exit(int status);
noreturn void __wrap__exit(int status);

void __wrap__exit(int status)
{
    __gcov_dump();
    __gcov_reset(); /* a child of vfork shares its parent's counters, which have yet to be dumped */
    __real__exit(status);
}
