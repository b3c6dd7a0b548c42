# PDAG_CHECK_MPI: MPI_CFLAGS, MPI_LIBS, MPIEXEC, HAVE_MPI, PDAG_HAVE_ULFM.  Only
# comm/mpi.c needs them.  The wrapper compiler is asked for its flags; MPICC and MPIEXEC choose one.
AC_DEFUN([PDAG_CHECK_MPI], [
  AC_ARG_VAR([MPICC], [MPI compiler wrapper])
  AC_ARG_VAR([MPIEXEC], [program that starts MPI programs])
  AC_ARG_WITH([mpi],
    [AS_HELP_STRING([--without-mpi], [build for one process @<:@default: with MPI where there is one@:>@])],
    [], [with_mpi=auto])
  pdag_have_mpi=no
  pdag_mpi_summary="no (one process)"
  AS_IF([test "$with_mpi" != no], [
    AC_CHECK_PROGS([MPICC], [mpicc])
    AC_CHECK_PROGS([MPIEXEC], [mpirun mpiexec])
    AS_IF([test -n "$MPICC"], [
      MPI_CFLAGS=`$MPICC --showme:compile 2>/dev/null` &&
        MPI_LIBS=`$MPICC --showme:link 2>/dev/null` || {
          MPI_CFLAGS=`$MPICC -compile-info 2>/dev/null | $SED 's/^@<:@^ @:>@* *//'`
          MPI_LIBS=`$MPICC -link-info 2>/dev/null | $SED 's/^@<:@^ @:>@* *//'`
        }
      pdag_saved_CFLAGS=$CFLAGS; pdag_saved_LIBS=$LIBS
      CFLAGS="$CFLAGS $MPI_CFLAGS"; LIBS="$MPI_LIBS $LIBS"
      AC_MSG_CHECKING([for MPI-3 through $MPICC])
      AC_LINK_IFELSE([AC_LANG_PROGRAM([[#include <mpi.h>]],
          [[MPI_Message m; MPI_Status s; int f;
            MPI_Init(0, 0);
            MPI_Improbe(0, 0, MPI_COMM_WORLD, &f, &m, &s);]])],
        [pdag_have_mpi=yes], [pdag_have_mpi=no])
      AC_MSG_RESULT([$pdag_have_mpi])
      AC_MSG_CHECKING([whether it can survive a dead rank (ULFM)])
      AC_LINK_IFELSE([AC_LANG_PROGRAM([[#include <mpi.h>
            #ifdef OPEN_MPI
            #include <mpi-ext.h>
            #endif]],
          [[MPI_Group g;
            int class = MPIX_ERR_PROC_FAILED + MPIX_ERR_PROC_FAILED_PENDING;
            MPIX_Comm_failure_ack(MPI_COMM_WORLD);
            MPIX_Comm_failure_get_acked(MPI_COMM_WORLD, &g);
            return class;]])],
        [pdag_have_ulfm=yes], [pdag_have_ulfm=no])
      AC_MSG_RESULT([$pdag_have_ulfm])
      CFLAGS=$pdag_saved_CFLAGS; LIBS=$pdag_saved_LIBS
    ])
    AS_IF([test "$pdag_have_mpi" = yes],
      [pdag_mpi_summary="yes ($MPICC, $MPIEXEC)"
       AM_CPPFLAGS="$AM_CPPFLAGS -DPDAG_HAVE_MPI=1"
       AS_IF([test "$pdag_have_ulfm" = yes],
         [pdag_mpi_summary="yes ($MPICC, $MPIEXEC; survives a dead rank)"
          AM_CPPFLAGS="$AM_CPPFLAGS -DPDAG_HAVE_ULFM=1"])],
      [test "$with_mpi" = yes],
      [AC_MSG_ERROR([--with-mpi: no working MPI (Debian: libopenmpi-dev; or set MPICC)])])
  ])
  AC_SUBST([MPI_CFLAGS])
  AC_SUBST([MPI_LIBS])
  AM_CONDITIONAL([HAVE_MPI], [test "$pdag_have_mpi" = yes])
])
