# `make package` calls CPack for the .deb; the tarball is made by tools/package.
set(CPACK_PACKAGE_NAME jeton)
