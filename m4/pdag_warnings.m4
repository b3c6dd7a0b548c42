# PDAG_WARNINGS: the warning set; --enable-werror makes them errors.
AC_DEFUN([PDAG_WARNINGS], [
  AC_ARG_ENABLE([werror],
    [AS_HELP_STRING([--enable-werror], [treat warnings as errors])],
    [], [enable_werror=no])
  pdag_flags="-Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes dnl
-Wmissing-prototypes -Wconversion -Wno-sign-conversion -Wcast-qual dnl
-Wpointer-arith -Wwrite-strings -Wundef -Wvla"
  WARN_CFLAGS=
  pdag_saved_CFLAGS=$CFLAGS
  for pdag_flag in $pdag_flags; do
    CFLAGS="$pdag_saved_CFLAGS -Werror $pdag_flag"
    AC_COMPILE_IFELSE([AC_LANG_PROGRAM([], [])],
                      [WARN_CFLAGS="$WARN_CFLAGS $pdag_flag"])
  done
  CFLAGS=$pdag_saved_CFLAGS
  pdag_warnings_summary=on
  AS_IF([test "$enable_werror" = yes],
        [WARN_CFLAGS="$WARN_CFLAGS -Werror"
         pdag_warnings_summary="on, as errors"])
  AC_SUBST([WARN_CFLAGS])
])
