# SPDX-License-Identifier: Apache-2.0
#
# For the preset `arm64`: Debian's crossbuild-essential-arm64 and its libraries of the architecture arm64 (dpkg
# --add-architecture arm64). With qemu-user-static, what is built runs here, too.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(triplet aarch64-linux-gnu)
set(CMAKE_CXX_COMPILER ${triplet}-g++)
set(CMAKE_STRIP ${triplet}-strip)
set(CMAKE_LIBRARY_ARCHITECTURE ${triplet})
set(ENV{PKG_CONFIG_LIBDIR} /usr/lib/${triplet}/pkgconfig:/usr/share/pkgconfig)
set(CPACK_DEBIAN_PACKAGE_ARCHITECTURE arm64)
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
find_program(qemu qemu-aarch64-static)
if(qemu)
    set(CMAKE_CROSSCOMPILING_EMULATOR ${qemu};-L;/)
endif()
