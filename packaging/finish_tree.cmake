# SPDX-License-Identifier: Apache-2.0
# Run by cpack when everything is installed to a directory, and nothing packed yet: what is Debian's own.
unset(ENV{DESTDIR}) # is set already in these names
set(tree ${CPACK_TEMPORARY_INSTALL_DIRECTORY}/belay)
set(doc ${tree}/usr/share/doc/belay)

file(INSTALL ${CPACK_BELAY_DEBIAN_FILES}/copyright DESTINATION ${doc})
file(INSTALL ${CPACK_BELAY_DEBIAN_FILES}/changelog DESTINATION ${doc} RENAME changelog.Debian)
file(INSTALL ${CPACK_BELAY_DEBIAN_FILES}/../../README.md DESTINATION ${doc})
# The example charger's, which has a comment for each key.
file(INSTALL ${CPACK_BELAY_DEBIAN_FILES}/../../examples/charger/belay.yaml DESTINATION ${doc}/examples)
file(INSTALL ${CPACK_BELAY_DEBIAN_FILES}/lintian-overrides DESTINATION ${tree}/usr/share/lintian/overrides RENAME belay)

file(GLOB_RECURSE pages ${tree}/usr/share/man/*)
foreach(file ${doc}/changelog.Debian ${pages})
    execute_process(COMMAND gzip -9n ${file} COMMAND_ERROR_IS_FATAL ANY)
endforeach()

# Whatever is in /etc is the administrator's to change.
file(GLOB_RECURSE conffiles RELATIVE ${tree} ${tree}/etc/*)
list(TRANSFORM conffiles PREPEND "/")
list(JOIN conffiles "\n" text)
file(CONFIGURE OUTPUT ${CPACK_BELAY_CONFFILES} CONTENT "${text}\n" @ONLY)
file(CHMOD ${CPACK_BELAY_CONFFILES} PERMISSIONS OWNER_READ OWNER_WRITE GROUP_READ WORLD_READ)
