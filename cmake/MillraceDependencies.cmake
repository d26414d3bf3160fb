# System libraries from Debian through pkg-config; DuckDB from .deps, where deploy/fetch-npm puts it.
find_package(PkgConfig REQUIRED)
foreach(pair IN ITEMS
        "UV libuv" "SQLITE sqlite3" "MHD libmicrohttpd" "JANSSON jansson" "YAML yaml-0.1"
        "CMOCKA cmocka" "CURL libcurl" "CRYPTO libcrypto" "XXHASH libxxhash" "PCRE2 libpcre2-8"
        "SMARTCOLS smartcols" "ARCHIVE libarchive" "ZSTD libzstd" "ZLIB zlib")
  separate_arguments(pair)
  list(GET pair 0 name)
  list(GET pair 1 module)
  pkg_check_modules(${name} REQUIRED IMPORTED_TARGET ${module})
endforeach()

set(MILLRACE_DEPS ${CMAKE_SOURCE_DIR}/.deps CACHE PATH "Where deploy/fetch-npm unpacked packages")
if(NOT EXISTS ${MILLRACE_DEPS}/duckdb/libduckdb.so)
  message(FATAL_ERROR "DuckDB is missing from ${MILLRACE_DEPS}: run deploy/fetch-npm first")
endif()
add_library(duckdb SHARED IMPORTED)
set_target_properties(duckdb PROPERTIES
  IMPORTED_LOCATION ${MILLRACE_DEPS}/duckdb/libduckdb.so
  IMPORTED_NO_SONAME OFF
  INTERFACE_INCLUDE_DIRECTORIES ${MILLRACE_DEPS}/duckdb)
