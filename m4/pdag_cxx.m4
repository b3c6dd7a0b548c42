# PDAG_CHECK_CXX: HAVE_CXX, CXX17_FLAGS, WARN_CXXFLAGS.  The program is C; a C++
# compiler only builds the emulator that tests the CUDA backend.
AC_DEFUN([PDAG_CHECK_CXX], [
  CXX17_FLAGS=-std=c++17
  WARN_CXXFLAGS=
  AC_LANG_PUSH([C++])
  pdag_saved_CXXFLAGS=$CXXFLAGS
  AC_MSG_CHECKING([for a C++17 compiler])
  CXXFLAGS="$CXXFLAGS $CXX17_FLAGS"
  AC_COMPILE_IFELSE([AC_LANG_PROGRAM([[
      #include <functional>
      #include <tuple>
      void add(int &to, int n) { to += n; }]],
      [[int sum = 0;
      std::function<void(int)> f = [&](int n) {
          std::apply(add, std::tuple<int &, int>(sum, n));
      };
      f(__builtin_LINE());
      return sum;]])],
    [pdag_have_cxx=yes], [pdag_have_cxx=no])
  AC_MSG_RESULT([$pdag_have_cxx])
  for pdag_flag in -Wall -Wextra -Wshadow -Wpointer-arith -Wcast-qual; do
    CXXFLAGS="$pdag_saved_CXXFLAGS -Werror $pdag_flag"
    AC_COMPILE_IFELSE([AC_LANG_PROGRAM([], [])],
                      [WARN_CXXFLAGS="$WARN_CXXFLAGS $pdag_flag"])
  done
  CXXFLAGS=$pdag_saved_CXXFLAGS
  AC_LANG_POP([C++])
  AS_IF([test "$enable_werror" = yes],
        [WARN_CXXFLAGS="$WARN_CXXFLAGS -Werror"])
  AC_SUBST([CXX17_FLAGS])
  AC_SUBST([WARN_CXXFLAGS])
  AM_CONDITIONAL([HAVE_CXX], [test "$pdag_have_cxx" = yes])
])
