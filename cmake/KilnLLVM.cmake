# LLVM and MLIR 22.1, LLD, and the precompiled header of the compiler's rooms.
find_package(MLIR 22.1 REQUIRED CONFIG HINTS /usr/lib/llvm-22/lib/cmake/mlir)
find_package(LLVM 22.1 REQUIRED CONFIG HINTS /usr/lib/llvm-22/lib/cmake/llvm)
list(APPEND CMAKE_MODULE_PATH ${MLIR_CMAKE_DIR} ${LLVM_CMAKE_DIR})
include(TableGen)
include(AddLLVM)
include(AddMLIR)
include_directories(SYSTEM ${LLVM_INCLUDE_DIRS} ${MLIR_INCLUDE_DIRS})  # mlir_tablegen sees directory-scope includes only
include_directories(${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR}/generated)
separate_arguments(KILN_LLVM_DEFINITIONS NATIVE_COMMAND ${LLVM_DEFINITIONS})

add_library(kiln_llvm INTERFACE)
target_compile_definitions(kiln_llvm INTERFACE ${KILN_LLVM_DEFINITIONS})
target_compile_options(kiln_llvm INTERFACE -fno-rtti -Wno-unused-parameter)

# kiln_compiler_room(NAME SOURCES ... USES ...): a room that sees MLIR, built on the shared precompiled header.
function(kiln_compiler_room NAME)
  kiln_room(${NAME} ${ARGN})
  target_link_libraries(kiln_${NAME} PUBLIC kiln_llvm)
  add_dependencies(kiln_${NAME} kiln_generated)
  if(NAME STREQUAL "ir")
    target_precompile_headers(kiln_ir PRIVATE ${PROJECT_SOURCE_DIR}/cmake/mlir_pch.h)
  else()
    target_precompile_headers(kiln_${NAME} REUSE_FROM kiln_ir)
  endif()
endfunction()
