# CPack makes the two things of `make package` (tools/package): a .deb from a build with the system's
# libraries, a tarball from a build with JT_BUNDLE.
set(CPACK_PACKAGE_NAME jeton)
set(CPACK_PACKAGE_VENDOR "The Jeton developers")
set(CPACK_PACKAGE_CONTACT "The Jeton developers <jeton@localhost.invalid>")
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_RESOURCE_FILE_LICENSE ${CMAKE_SOURCE_DIR}/LICENSE)
set(CPACK_STRIP_FILES ON)
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_PACKAGE_DESCRIPTION "Runs language models from GGUF and safetensors files on the CPU.
The package holds the command, the C library (shared and static), its headers,
manual pages and shell completions. Kernels are chosen when the program starts,
by what the processor has.")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)

set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "libcurl4 | libcurl4t64 | libcurl3-gnutls | libcurl3t64-gnutls, python3-pip")
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION TRUE)
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "pkg-config, libjansson-dev")

set(CPACK_ARCHIVE_FILE_NAME jeton-${PROJECT_VERSION}-linux-${CMAKE_SYSTEM_PROCESSOR})
include(CPack)
