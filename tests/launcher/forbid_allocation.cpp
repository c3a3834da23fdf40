// SPDX-License-Identifier: Apache-2.0
//
// Preloaded into the launcher: once it has given up its privileges, whoever allocates (it, or a child on its way to
// exec) ends at once.
#include <cstddef>
#include <cstdlib>

#include <sys/prctl.h>
#include <unistd.h>

// glibc's own; the names are part of its ABI.
extern "C" void* __libc_malloc(std::size_t size);
extern "C" void* __libc_calloc(std::size_t count, std::size_t size);
extern "C" void* __libc_realloc(void* memory, std::size_t size);

namespace {

void judge()
{
    if (::prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1)
        ::_exit(99);
}

} // namespace

extern "C" void* malloc(std::size_t size)
{
    judge();
    return __libc_malloc(size);
}

extern "C" void* calloc(std::size_t count, std::size_t size)
{
    judge();
    return __libc_calloc(count, size);
}

extern "C" void* realloc(void* memory, std::size_t size)
{
    judge();
    return __libc_realloc(memory, size);
}
