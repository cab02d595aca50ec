# Reads the rows of kind lib from dependencies.txt, the table that ./setup installs from.
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/dependencies.txt)

# The pkg-config modules of one group.
function(jt_modules group out)
  file(STRINGS ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/dependencies.txt lines REGEX "^lib ")
  set(modules "")
  foreach(line ${lines})
    if(line MATCHES "^lib +([^ ]+) +${group} ")
      list(APPEND modules ${CMAKE_MATCH_1})
    endif()
  endforeach()
  set(${out} "${modules}" PARENT_SCOPE)
endfunction()
