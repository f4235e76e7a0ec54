# Headers, the library in its levels, find_package(kvhandoff) and a pkg-config file.
include(CMakePackageConfigHelpers)

install(DIRECTORY include/kvhandoff DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h" PATTERN "*.hpp")
foreach(level IN LISTS KVH_LEVELS)
  if(level STREQUAL "baseline")
    install(PROGRAMS ${kvh_lib_dir}/libkvhandoff.so.1 DESTINATION ${CMAKE_INSTALL_LIBDIR})
  else()
    install(PROGRAMS ${kvh_lib_dir}/glibc-hwcaps/${level}/libkvhandoff.so.1 DESTINATION ${CMAKE_INSTALL_LIBDIR}/glibc-hwcaps/${level})
  endif()
endforeach()
install(FILES ${kvh_lib_dir}/libkvhandoff.so DESTINATION ${CMAKE_INSTALL_LIBDIR})

set(kvh_config_dir ${CMAKE_INSTALL_LIBDIR}/cmake/kvhandoff)
configure_package_config_file(cmake/kvhandoffConfig.cmake.in ${CMAKE_BINARY_DIR}/kvhandoffConfig.cmake
  INSTALL_DESTINATION ${kvh_config_dir} PATH_VARS CMAKE_INSTALL_LIBDIR CMAKE_INSTALL_INCLUDEDIR)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/kvhandoffConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/kvhandoffConfig.cmake ${CMAKE_BINARY_DIR}/kvhandoffConfigVersion.cmake DESTINATION ${kvh_config_dir})

configure_file(cmake/kvhandoff.pc.in ${CMAKE_BINARY_DIR}/kvhandoff.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/kvhandoff.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
