# Language level, warnings and hardening for every target; millrace_library() and millrace_test()
# keep the folders' own CMakeLists to the list of their files.
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

# CMake's default adds -DNDEBUG to release builds; our asserts stay on.
set(CMAKE_C_FLAGS_RELEASE "-O2 -g")

option(MILLRACE_WERROR "Treat warnings as errors" OFF)
set(MILLRACE_SANITIZE "" CACHE STRING "Sanitizers to build with, as for -fsanitize=")

add_compile_definitions(_GNU_SOURCE MILLRACE_VERSION="${PROJECT_VERSION}")
add_compile_options(
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion -Wstrict-prototypes
  -Wmissing-prototypes -Wswitch-enum -Wvla -Wundef -Wwrite-strings -Wcast-qual -Wformat=2
  -fno-strict-aliasing -fno-delete-null-pointer-checks -fstack-protector-strong
  -ffile-prefix-map=${CMAKE_SOURCE_DIR}=.)
if(MILLRACE_WERROR)
  add_compile_options(-Werror)
endif()
if(MILLRACE_SANITIZE)
  add_compile_options(-fsanitize=${MILLRACE_SANITIZE} -fno-sanitize-recover=all
                      -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${MILLRACE_SANITIZE})
elseif(CMAKE_BUILD_TYPE STREQUAL "Release")
  add_compile_options(-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
  if(CMAKE_C_COMPILER_ID STREQUAL "GNU") # clang 14 has it only as an experiment
    add_compile_options(-ftrivial-auto-var-init=zero)
  endif()
  add_link_options(-Wl,-z,relro,-z,now,-z,noexecstack)
endif()

include_directories(${CMAKE_SOURCE_DIR}/include ${CMAKE_SOURCE_DIR})

# millrace_library(NAME SOURCES... LINKS LIBS...): a static library of one folder.
function(millrace_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINKS" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC ${ARG_LINKS})
endfunction()

# millrace_test(NAME SOURCES... LINKS LIBS...): a cmocka program registered with ctest.
function(millrace_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINKS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE ${ARG_LINKS} PkgConfig::CMOCKA)
  add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR})
  set_tests_properties(${name} PROPERTIES LABELS unit TIMEOUT 600)
endfunction()

# millrace_folder(NAME LIBS...): the library of all C files of this folder except main.c. A folder
# without any becomes an interface library, so that the order of targets does not change.
function(millrace_folder name)
  file(GLOB sources CONFIGURE_DEPENDS *.c)
  list(FILTER sources EXCLUDE REGEX "/main\\.c$")
  if(sources)
    millrace_library(${name} SOURCES ${sources} LINKS ${ARGN})
  else()
    add_library(${name} INTERFACE)
    target_link_libraries(${name} INTERFACE ${ARGN})
  endif()
endfunction()
