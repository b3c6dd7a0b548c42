# PDAG_BACKEND_TABLE(FILE): write the list of backends that were configured, one
# PDAG_BACKEND(name) a line.  Not constructors: a static library drops objects
# that nobody references.
AC_DEFUN([PDAG_BACKEND_TABLE], [
  pdag_backends=ref
  AM_COND_IF([HAVE_ONEDNN], [pdag_backends="onednn $pdag_backends"])
  AM_COND_IF([HAVE_CUDA], [pdag_backends="cuda $pdag_backends"])
  AC_CONFIG_COMMANDS([$1], [
    {
      echo "/* Written by configure: backends built in. */"
      for b in $pdag_backends; do echo "PDAG_BACKEND($b)"; done
    } > $1
  ], [pdag_backends="$pdag_backends"])
])
