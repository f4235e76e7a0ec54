# libkvhandoff.so by dotnet publish, one per level: lib/ has the baseline, lib/glibc-hwcaps/<level>/ what glibc's loader prefers on processors
# that can run it (2.33 and later; an older loader takes the baseline).
set(kvh_lib_dir ${CMAKE_BINARY_DIR}/lib)
set(kvh_project ${CMAKE_CURRENT_SOURCE_DIR}/../src/KvHandoff.Native)
file(GLOB_RECURSE kvh_sources CONFIGURE_DEPENDS ${kvh_project}/*.cs ${kvh_project}/*.csproj ${CMAKE_CURRENT_SOURCE_DIR}/../src/KvHandoff.Core/*.cs)
list(FILTER kvh_sources EXCLUDE REGEX "/(obj|bin)/")

set(kvh_outputs)
set(kvh_before)
foreach(level IN LISTS KVH_LEVELS)
  if(level STREQUAL "baseline")
    set(dir ${kvh_lib_dir})
  else()
    set(dir ${kvh_lib_dir}/glibc-hwcaps/${level})
  endif()
  set(publish ${CMAKE_BINARY_DIR}/publish/${level})
  # One after the other: they share the intermediate files of the managed part.
  add_custom_command(OUTPUT ${dir}/libkvhandoff.so.1
    COMMAND ${CMAKE_COMMAND} -E env DOTNET_NOLOGO=1 DOTNET_CLI_TELEMETRY_OPTOUT=1 MSBUILDDISABLENODEREUSE=1
      ${KVH_DOTNET} publish ${kvh_project} -c Release -r linux-x64 -p:KvAotLevel=${level} -p:UseNativeKernels=false -o ${publish} -v quiet
    COMMAND ${CMAKE_COMMAND} -E make_directory ${dir}
    COMMAND ${CMAKE_COMMAND} -E copy ${publish}/libkvhandoff.so ${dir}/libkvhandoff.so.1
    DEPENDS ${kvh_sources} ${kvh_before}
    COMMENT "libkvhandoff.so, ${level} (NativeAOT)"
    VERBATIM)
  set(kvh_before ${dir}/libkvhandoff.so.1)
  list(APPEND kvh_outputs ${dir}/libkvhandoff.so.1)
endforeach()

# The attention kernels lie beside the library, which looks for them there and chooses among them by the processor.
add_custom_command(OUTPUT ${kvh_lib_dir}/libkvhandoff.so ${kvh_lib_dir}/libkvhandoff_kernels.so
  COMMAND ${CMAKE_COMMAND} -E create_symlink libkvhandoff.so.1 ${kvh_lib_dir}/libkvhandoff.so
  COMMAND ${CMAKE_COMMAND} -E copy $<TARGET_FILE:kvhandoff_kernels> ${kvh_lib_dir}/libkvhandoff_kernels.so
  DEPENDS ${kvh_outputs} kvhandoff_kernels
  VERBATIM)
add_custom_target(kvhandoff_library ALL DEPENDS ${kvh_outputs} ${kvh_lib_dir}/libkvhandoff.so ${kvh_lib_dir}/libkvhandoff_kernels.so)

file(MAKE_DIRECTORY ${kvh_lib_dir})
add_library(kvhandoff INTERFACE)
add_library(kvhandoff::kvhandoff ALIAS kvhandoff)
add_dependencies(kvhandoff kvhandoff_library)
target_include_directories(kvhandoff INTERFACE ${CMAKE_CURRENT_SOURCE_DIR}/include)
target_link_directories(kvhandoff INTERFACE ${kvh_lib_dir})
target_link_libraries(kvhandoff INTERFACE -lkvhandoff)
target_link_options(kvhandoff INTERFACE -Wl,-rpath,${kvh_lib_dir})
