# PDAG_CHECK_CHIPMUNK: CHIPMUNK_LIBS, HAVE_CHIPMUNK.  The physics of the PushT task;
# Debian's package has no pkg-config file.  Version 7 only: others push differently.
AC_DEFUN([PDAG_CHECK_CHIPMUNK], [
  AC_ARG_WITH([chipmunk],
    [AS_HELP_STRING([--without-chipmunk], [leave out the PushT environment @<:@default: with it where Chipmunk is there@:>@])],
    [], [with_chipmunk=auto])
  pdag_have_chipmunk=no
  pdag_chipmunk_summary="no (no PushT environment)"
  CHIPMUNK_LIBS=
  AS_IF([test "$with_chipmunk" != no], [
    pdag_saved_LIBS=$LIBS
    LIBS="-lchipmunk $LIBS"
    AC_MSG_CHECKING([for Chipmunk 7])
    AC_LINK_IFELSE([AC_LANG_PROGRAM([[#include <chipmunk/chipmunk.h>]],
        [[#if CP_VERSION_MAJOR != 7
          #error another version
          #endif
          cpSpaceFree(cpSpaceNew());]])],
      [pdag_have_chipmunk=yes
       CHIPMUNK_LIBS=-lchipmunk])
    AC_MSG_RESULT([$pdag_have_chipmunk])
    LIBS=$pdag_saved_LIBS
    AS_IF([test "$pdag_have_chipmunk" = yes],
      [pdag_chipmunk_summary="yes ($CHIPMUNK_LIBS)"],
      [test "$with_chipmunk" = yes],
      [AC_MSG_ERROR([--with-chipmunk: Chipmunk 7 not found (Debian: libchipmunk-dev)])])
  ])
  AC_SUBST([CHIPMUNK_LIBS])
  AM_CONDITIONAL([HAVE_CHIPMUNK], [test "$pdag_have_chipmunk" = yes])
])
