# PDAG_SANITIZERS: --enable-sanitizers builds everything with ASan and UBSan.
AC_DEFUN([PDAG_SANITIZERS], [
  AC_ARG_ENABLE([sanitizers],
    [AS_HELP_STRING([--enable-sanitizers], [AddressSanitizer and UndefinedBehaviorSanitizer])],
    [], [enable_sanitizers=no])
  SANITIZE_CFLAGS=
  pdag_sanitizers=no
  AS_IF([test "$enable_sanitizers" = yes], [
    SANITIZE_CFLAGS="-fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer"
    pdag_sanitizers="address, undefined"
  ])
  AC_SUBST([SANITIZE_CFLAGS])
  AM_CONDITIONAL([SANITIZERS], [test "$enable_sanitizers" = yes])
])
