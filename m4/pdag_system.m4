# PDAG_CHECK_SYSTEM: language level and system interfaces.
AC_DEFUN([PDAG_CHECK_SYSTEM], [
  AM_CPPFLAGS="-D_POSIX_C_SOURCE=200809L"
  AM_CFLAGS="-std=c11"
  # GNU C lets floating-point expressions contract to fused multiply-adds by
  # default, so that the bits would depend on the machine compiled for.
  AC_MSG_CHECKING([whether $CC takes -ffp-contract=off])
  pdag_saved_CFLAGS=$CFLAGS
  CFLAGS="$CFLAGS -ffp-contract=off"
  AC_COMPILE_IFELSE([AC_LANG_PROGRAM([], [])],
    [AC_MSG_RESULT([yes]); AM_CFLAGS="$AM_CFLAGS -ffp-contract=off"],
    [AC_MSG_RESULT([no])])
  CFLAGS=$pdag_saved_CFLAGS
  AC_SUBST([AM_CPPFLAGS])
  AC_SUBST([AM_CFLAGS])
])
