# Compiler settings shared by all rooms, and the helper that declares a room.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE AND PROJECT_IS_TOP_LEVEL)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()
find_program(KILN_CCACHE ccache)
if(KILN_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER AND PROJECT_IS_TOP_LEVEL)
  # Precompiled headers and several checkouts share one cache only with these settings.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime CCACHE_NOHASHDIR=1 CCACHE_BASEDIR=${CMAKE_CURRENT_SOURCE_DIR} ${KILN_CCACHE})
endif()

find_package(fmt REQUIRED)
find_package(Threads REQUIRED)
find_package(ZLIB REQUIRED)

add_library(kiln_settings INTERFACE)
target_compile_features(kiln_settings INTERFACE cxx_std_20)
# Contraction of a*b+c is a decision of the numeric order, never of the host compiler.
target_compile_options(kiln_settings INTERFACE -Wall -Wextra -Wno-missing-field-initializers -ffp-contract=off)
target_include_directories(kiln_settings INTERFACE
  ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/base ${PROJECT_SOURCE_DIR}/frontend ${PROJECT_BINARY_DIR}/generated)
target_link_libraries(kiln_settings INTERFACE fmt::fmt Threads::Threads)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  target_link_options(kiln_settings INTERFACE -Wl,--no-undefined-version)
endif()
if(KILN_SANITIZE)
  add_compile_options(-fsanitize=${KILN_SANITIZE} -fno-omit-frame-pointer -g)
  add_link_options(-fsanitize=${KILN_SANITIZE})
endif()

# kiln_room(NAME SOURCES... ) declares the object library kiln_NAME; USES lists the rooms it may see.
function(kiln_room NAME)
  cmake_parse_arguments(ROOM "" "" "SOURCES;USES" ${ARGN})
  add_library(kiln_${NAME} OBJECT ${ROOM_SOURCES})
  target_link_libraries(kiln_${NAME} PUBLIC kiln_settings)
  foreach(used ${ROOM_USES})
    add_dependencies(kiln_${NAME} kiln_${used})
  endforeach()
endfunction()
