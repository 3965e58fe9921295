# Only for ROS from PyPI wheels (setup.py passes it as CMAKE_PROJECT_INCLUDE); a ROS from apt needs none of it.
# Runs after the last find_package and before CMake generates.

# The wheels' interface packages export include paths of the machine that built them (/opt/python/...):
# drop the paths that do not exist.
function(_drop_missing_include_dirs)
  get_property(_targets DIRECTORY PROPERTY IMPORTED_TARGETS)
  foreach(_target IN LISTS _targets)
    get_target_property(_dirs ${_target} INTERFACE_INCLUDE_DIRECTORIES)
    if(NOT _dirs)
      continue()
    endif()
    set(_kept "")
    foreach(_dir IN LISTS _dirs)
      if(NOT IS_ABSOLUTE "${_dir}" OR EXISTS "${_dir}")
        list(APPEND _kept "${_dir}")
      endif()
    endforeach()
    set_target_properties(${_target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${_kept}")
  endforeach()
endfunction()

# numpy's headers lie in the venv, the venv may lie in the source tree (.venv), and CMake refuses to export a target
# with an include path of the source tree: such a path is for this build alone.
function(_keep_source_tree_out_of_exports)
  get_property(_targets DIRECTORY PROPERTY BUILDSYSTEM_TARGETS)
  foreach(_target IN LISTS _targets)
    get_target_property(_dirs ${_target} INTERFACE_INCLUDE_DIRECTORIES)
    if(NOT _dirs)
      continue()
    endif()
    set(_kept "")
    foreach(_dir IN LISTS _dirs)
      string(FIND "${_dir}" "${CMAKE_SOURCE_DIR}/" _position)
      if(_position EQUAL 0)
        list(APPEND _kept "$<BUILD_INTERFACE:${_dir}>")
      else()
        list(APPEND _kept "${_dir}")
      endif()
    endforeach()
    set_target_properties(${_target} PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${_kept}")
  endforeach()
endfunction()

cmake_language(DEFER CALL _drop_missing_include_dirs)
cmake_language(DEFER CALL _keep_source_tree_out_of_exports)
