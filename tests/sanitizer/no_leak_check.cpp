// SPDX-License-Identifier: Apache-2.0
//
// For what runs under a system call filter in the asan preset: the leak check at its end would ptrace itself, which the
// filter refuses.
extern "C" const char*
__lsan_default_options() // NOLINT(bugprone-reserved-identifier): the sanitizer looks for this name
{
    return "detect_leaks=0";
}
