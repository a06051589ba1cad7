# find_package(lossfast): the target lossfast::lossfast, a static library, installed or built with the project that asks.
if(NOT TARGET lossfast::lossfast)
  if(EXISTS "${CMAKE_CURRENT_LIST_DIR}/lossfastTargets.cmake")
    include("${CMAKE_CURRENT_LIST_DIR}/lossfastTargets.cmake")
  else()
    get_filename_component(lossfast_root "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
    add_subdirectory("${lossfast_root}/csrc" "${CMAKE_BINARY_DIR}/lossfast" EXCLUDE_FROM_ALL)
  endif()
endif()
