# What `make install` puts where: headers, both libraries, pkg-config and CMake files, the command,
# its man pages and its shell completions. The last two are written by the command from its own tables.
include(CMakePackageConfigHelpers)

install(DIRECTORY ${CMAKE_SOURCE_DIR}/include/jeton DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(TARGETS jeton_static jeton_shared EXPORT jetonTargets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})

set(cmake_dir ${CMAKE_INSTALL_LIBDIR}/cmake/jeton)
install(EXPORT jetonTargets NAMESPACE jeton:: DESTINATION ${cmake_dir})
configure_package_config_file(${CMAKE_SOURCE_DIR}/cmake/jetonConfig.cmake.in ${CMAKE_BINARY_DIR}/jetonConfig.cmake
  INSTALL_DESTINATION ${cmake_dir})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/jetonConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/jetonConfig.cmake ${CMAKE_BINARY_DIR}/jetonConfigVersion.cmake DESTINATION ${cmake_dir})

# The prefix follows the place of the .pc file, so that an unpacked tarball works anywhere.
file(RELATIVE_PATH pc_prefix /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
# Not Requires.private: the shared library is to be usable where the headers of the others are not installed.
list(TRANSFORM DEPS_LIBRARIES PREPEND -l OUTPUT_VARIABLE pc_libs)
string(REPLACE ";" " " pc_libs "${pc_libs}")
configure_file(${CMAKE_SOURCE_DIR}/cmake/jeton.pc.in ${CMAKE_BINARY_DIR}/jeton.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/jeton.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

install(FILES ${CMAKE_SOURCE_DIR}/LICENSE ${CMAKE_SOURCE_DIR}/README.md ${CMAKE_SOURCE_DIR}/CHANGELOG.md
  ${CMAKE_SOURCE_DIR}/docs/third-party.md DESTINATION ${CMAKE_INSTALL_DOCDIR})

install(FILES ${CMAKE_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} RENAME copyright)

if(TARGET jeton)
  install(TARGETS jeton RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  set(manual ${CMAKE_BINARY_DIR}/manual)
  add_custom_command(OUTPUT ${manual}/done
    COMMAND ${CMAKE_COMMAND} -DJETON=$<TARGET_FILE:jeton> -DOUT=${manual} -P ${CMAKE_SOURCE_DIR}/cmake/manual.cmake
    DEPENDS jeton ${CMAKE_SOURCE_DIR}/cmake/manual.cmake VERBATIM)
  add_custom_target(manual ALL DEPENDS ${manual}/done)
  install(DIRECTORY ${manual}/man1 DESTINATION ${CMAKE_INSTALL_MANDIR})
  install(FILES ${manual}/jeton.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME jeton)
  install(FILES ${manual}/_jeton DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
  install(FILES ${manual}/jeton.fish DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
endif()
