# PDAG_CHECK_CUDA: this version has no CUDA backend; the switch exists so that
# scripts that pass it go on working, and asking for one is an honest error.
AC_DEFUN([PDAG_CHECK_CUDA], [
  AC_ARG_WITH([cuda],
    [AS_HELP_STRING([--without-cuda], [leave out the CUDA backend @<:@this version has none@:>@])],
    [], [with_cuda=auto])
  pdag_cuda_summary="no (no CUDA backend in this version)"
  AS_CASE([$with_cuda],
    [no|auto], [],
    [AC_MSG_ERROR([--with-cuda: this version has no CUDA backend])])
])
