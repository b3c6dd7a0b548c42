# PDAG_CHECK_ONEDNN: ONEDNN_CFLAGS, ONEDNN_LIBS, HAVE_ONEDNN.  Versions 2.6 and 3.
AC_DEFUN([PDAG_CHECK_ONEDNN], [
  AC_ARG_WITH([onednn],
    [AS_HELP_STRING([--without-onednn], [leave out the oneDNN backend @<:@default: with it where it is there@:>@])],
    [], [with_onednn=auto])
  pdag_have_onednn=no
  pdag_onednn_summary=no
  AS_IF([test "$with_onednn" != no], [
    PKG_CHECK_MODULES([ONEDNN], [dnnl >= 2.6], [pdag_have_onednn=yes], [
      ONEDNN_LIBS=-ldnnl
      pdag_saved_LIBS=$LIBS
      LIBS="$ONEDNN_LIBS $LIBS"
      AC_MSG_CHECKING([for oneDNN without pkg-config])
      AC_LINK_IFELSE([AC_LANG_PROGRAM([[#include <dnnl.h>]],
          [[#if DNNL_VERSION_MAJOR < 2 || (DNNL_VERSION_MAJOR == 2 && DNNL_VERSION_MINOR < 6)
            #error too old
            #endif
            return dnnl_version() == 0;]])],
        [pdag_have_onednn=yes])
      AC_MSG_RESULT([$pdag_have_onednn])
      LIBS=$pdag_saved_LIBS
    ])
    # oneDNN built on OpenMP takes its number of threads from there.
    AS_IF([test "$pdag_have_onednn" = yes], [
      pdag_saved_LIBS=$LIBS
      LIBS="$ONEDNN_LIBS $LIBS"
      AC_SEARCH_LIBS([omp_set_num_threads], [gomp omp],
        [AS_CASE([$ac_cv_search_omp_set_num_threads],
           [-l*], [ONEDNN_LIBS="$ONEDNN_LIBS $ac_cv_search_omp_set_num_threads"])
         AC_CHECK_HEADER([omp.h],
           [ONEDNN_CFLAGS="$ONEDNN_CFLAGS -DPDAG_HAVE_OMP=1"])])
      LIBS=$pdag_saved_LIBS
    ])
    AS_IF([test "$pdag_have_onednn" = yes],
      [pdag_onednn_summary="yes ($ONEDNN_LIBS)"],
      [test "$with_onednn" = yes],
      [AC_MSG_ERROR([--with-onednn: oneDNN 2.6 or newer not found (Debian: libdnnl-dev)])],
      [ONEDNN_LIBS=])
  ])
  AC_SUBST([ONEDNN_CFLAGS])
  AC_SUBST([ONEDNN_LIBS])
  AM_CONDITIONAL([HAVE_ONEDNN], [test "$pdag_have_onednn" = yes])
])
