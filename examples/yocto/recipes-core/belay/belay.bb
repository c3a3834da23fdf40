# SPDX-License-Identifier: Apache-2.0
#
# Belay in place of EVerest's manager, for boards that Yocto builds (scarthgap and later). Its bin/manager goes where that of
# everest-core is: leave it out there, in a bbappend:
#
#     do_install:append() {
#         rm ${D}${bindir}/manager
#     }
SUMMARY = "manager for EVerest chargers, with least privilege for every module"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://LICENSE;md5=3b83ef96387f14655fc854ddc3c6bd57"

# The sources that this file is part of. For a release: SRC_URI and SRCREV, and no externalsrc.
inherit externalsrc
EXTERNALSRC ?= "${@os.path.normpath(d.getVar('THISDIR') + '/../../../..')}"
PV = "0.1.0"

inherit cmake pkgconfig systemd useradd features_check
# Its units are in /usr/lib.
REQUIRED_DISTRO_FEATURES = "systemd usrmerge"

# `expected` is tl::expected, a header; write a recipe for it where your layers have none.
DEPENDS = " \
    cli11 \
    expected \
    fmt \
    libcap \
    libseccomp \
    libyaml \
    mosquitto \
    nlohmann-json \
    spdlog \
    sqlite3 \
    systemd \
    valijson \
"
# The libraries that it is linked to are found by themselves; these two it loads.
RDEPENDS:${PN} += "systemd libmosquitto1 libsystemd"
RRECOMMENDS:${PN} += "mosquitto"

# Manual pages and completion are made by a program for the board, which does not run where it is built.
EXTRA_OECMAKE = "-DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX=/usr -DBUILD_TESTING=OFF -DBELAY_HELP=OFF \
    -DBELAY_WARNINGS_AS_ERRORS=OFF"

# What sysusers.d and tmpfiles.d of the package say, when the image is made: on a read-only root file system, and without
# the systemd-sysusers of PACKAGECONFIG, nobody could do it later. A group that another recipe has created is left as it is.
USERADD_PACKAGES = "${PN}"
GROUPADD_PARAM:${PN} = " \
    --gid 1500 everest; \
    --gid 1501 gpio; \
    --system systemd-journal; \
    --system tss; \
    --system mosquitto; \
"
USERADD_PARAM:${PN} = " \
    --uid 1500 --gid everest --groups systemd-journal,dialout,tty,gpio,tss,mosquitto \
    --comment 'EVerest modules' --no-create-home --home-dir /home/everest --shell /usr/sbin/nologin everest; \
    --system --user-group --groups mosquitto --comment 'EVerest manager' --no-create-home \
    --home-dir /var/lib/everest/manager --shell /usr/sbin/nologin everest-manager; \
"

do_install() {
    DESTDIR=${D} cmake --install ${B} --component belay
    install -d -m 0750 -o everest -g everest ${D}/home/everest
    install -d -m 0755 -o everest-manager -g everest-manager ${D}${sysconfdir}/everest/user-config
}

SYSTEMD_SERVICE:${PN} = "everest.service"

FILES:${PN} = " \
    ${bindir}/manager \
    ${libexecdir}/everest/launcher \
    ${systemd_system_unitdir}/everest.service \
    ${systemd_system_unitdir}/everest@.service \
    ${nonarch_libdir}/sysusers.d/everest.conf \
    ${nonarch_libdir}/tmpfiles.d/everest.conf \
    ${nonarch_libdir}/systemd/catalog/belay.catalog \
    ${datadir}/belay \
    ${sysconfdir}/everest/belay.yaml \
    ${sysconfdir}/everest/user-config \
    /home/everest \
"
CONFFILES:${PN} = "${sysconfdir}/everest/belay.yaml"
