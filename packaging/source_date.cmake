# SPDX-License-Identifier: Apache-2.0
# Read by cpack before it packs: no file of the package is younger than the changelog's newest entry.
if(NOT DEFINED ENV{SOURCE_DATE_EPOCH})
    execute_process(COMMAND dpkg-parsechangelog --file ${CPACK_BELAY_DEBIAN_FILES}/changelog --show-field Timestamp
        OUTPUT_VARIABLE timestamp OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
    set(ENV{SOURCE_DATE_EPOCH} ${timestamp})
endif()
