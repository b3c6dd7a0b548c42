# PDAG_CHECK_CUDA: NVCC, CUDA_CFLAGS, CUDA_DEFS (with quotes, for make), CUDA_LIBS,
# CUDA_ARCH_FLAGS, HAVE_CUDA, HAVE_CUDNN.  The runtime is linked statically, cuBLASLt and cuDNN are opened by
# the program where there is a device: only their headers are needed here.

# Compute capabilities to make machine code for, where nvcc knows them.
m4_define([pdag_cuda_archs], [70 75 80 86 89 90 100 120])

# PDAG_CUDA_FIND: pdag_cuda_root, pdag_cuda_lib.  Debian's own packages have their
# files in /usr.
AC_DEFUN([PDAG_CUDA_FIND], [
  AS_CASE([$with_cuda],
    [yes|auto], [pdag_cuda_path=$PATH$PATH_SEPARATOR/usr/local/cuda/bin],
    [pdag_cuda_path=$with_cuda/bin])
  AC_PATH_PROG([NVCC], [nvcc], [], [$pdag_cuda_path])
  pdag_cuda_root=
  AS_IF([test -n "$NVCC"],
    [pdag_cuda_root=`AS_DIRNAME(["$NVCC"])`
     pdag_cuda_root=`AS_DIRNAME(["$pdag_cuda_root"])`])
  for pdag_cuda_lib in "$pdag_cuda_root/lib64" "$pdag_cuda_root/lib" /usr/lib; do
    test -e "$pdag_cuda_lib/libcudart_static.a" && break
  done
  AS_IF([test "$pdag_cuda_root" != /usr],
    [CUDA_CFLAGS="-isystem $pdag_cuda_root/include"
     CUDA_LIBS="-L$pdag_cuda_lib"])
  CUDA_LIBS="$CUDA_LIBS -lcudart_static -lpthread -ldl -lrt"
])

# PDAG_CUDA_ARCHITECTURES: CUDA_ARCH_FLAGS: machine code for each, and PTX of the
# newest for devices to come.
AC_DEFUN([PDAG_CUDA_ARCHITECTURES], [
  AC_ARG_WITH([cuda-arch],
    [AS_HELP_STRING([--with-cuda-arch=LIST], [compute capabilities to build for, as "80,90" @<:@default: all that nvcc knows of ]pdag_cuda_archs[@:>@])],
    [], [with_cuda_arch="pdag_cuda_archs"])
  pdag_cuda_known=`$NVCC --list-gpu-arch 2>/dev/null | $SED -n 's/^compute_//p' | tr '\n' ' '`
  pdag_cuda_use=
  pdag_cuda_newest=
  for pdag_arch in `echo "$with_cuda_arch" | tr ',' ' '`; do
    AS_CASE([" $pdag_cuda_known"],
      [*" $pdag_arch "*],
      [pdag_cuda_use="$pdag_cuda_use $pdag_arch"; pdag_cuda_newest=$pdag_arch],
      [AS_IF([test "$with_cuda_arch" != "pdag_cuda_archs"],
        [AC_MSG_ERROR([--with-cuda-arch: $NVCC does not know $pdag_arch (it knows: $pdag_cuda_known)])])])
  done
  CUDA_ARCH_FLAGS=
  for pdag_arch in $pdag_cuda_use; do
    CUDA_ARCH_FLAGS="$CUDA_ARCH_FLAGS -gencode arch=compute_$pdag_arch,code=sm_$pdag_arch"
  done
  AS_IF([test -n "$pdag_cuda_newest"],
    [CUDA_ARCH_FLAGS="$CUDA_ARCH_FLAGS -gencode arch=compute_$pdag_cuda_newest,code=compute_$pdag_cuda_newest"])
])

# PDAG_CUDA_TRY(IF-OK, IF-NOT): a kernel compiles, and a C program links with the
# runtime.
AC_DEFUN([PDAG_CUDA_TRY], [
  AC_MSG_CHECKING([for CUDA with cuBLASLt])
  pdag_saved_CFLAGS=$CFLAGS; pdag_saved_LIBS=$LIBS
  CFLAGS="$CFLAGS $CUDA_CFLAGS"; LIBS="$CUDA_LIBS $LIBS"
  pdag_have_cuda=no
  AC_LINK_IFELSE([AC_LANG_PROGRAM([[#include <cublasLt.h>
        #include <cuda_runtime_api.h>
        #if CUDART_VERSION < 11080
        #error too old
        #endif]],
      [[int n; cublasLtHandle_t h = 0;
        return (int)cudaGetDeviceCount(&n) + (h != 0);]])],
    [pdag_have_cuda=yes])
  CFLAGS=$pdag_saved_CFLAGS; LIBS=$pdag_saved_LIBS
  AS_IF([test "$pdag_have_cuda" = yes], [
    echo '__global__ void k(float *x) { *x = 1; }' > conftest.cu
    AC_TRY_COMMAND([$NVCC $NVCCFLAGS -c conftest.cu -o conftest.o]) ||
      pdag_have_cuda=no
    rm -f conftest.cu conftest.o
  ])
  AC_MSG_RESULT([$pdag_have_cuda])
  AS_IF([test "$pdag_have_cuda" = yes], [$1], [$2])
])

AC_DEFUN([PDAG_CHECK_CUDNN], [
  AC_ARG_WITH([cudnn],
    [AS_HELP_STRING([--with-cudnn@<:@=DIR@:>@], [convolutions through cuDNN @<:@default: with it where its header is; DIR has include and lib@:>@])],
    [], [with_cudnn=auto])
  pdag_have_cudnn=no
  AS_CASE([$with_cudnn],
    [no|yes|auto], [],
    [test -e "$with_cudnn/include/cudnn.h" ||
       AC_MSG_ERROR([--with-cudnn: there is no $with_cudnn/include/cudnn.h])
     CUDA_CFLAGS="-isystem $with_cudnn/include $CUDA_CFLAGS"
     CUDA_DEFS="$CUDA_DEFS -DPDAG_CUDNN_LIBDIR='\"$with_cudnn/lib\"'"])
  AS_IF([test "$with_cudnn" != no], [
    pdag_saved_CPPFLAGS=$CPPFLAGS
    CPPFLAGS="$CPPFLAGS $CUDA_CFLAGS"
    AC_MSG_CHECKING([for cuDNN])
    AC_COMPILE_IFELSE([AC_LANG_PROGRAM([[#include <cudnn.h>
          #if CUDNN_MAJOR < 8
          #error too old
          #endif]],
        [[cudnnHandle_t h = 0;
          return h != 0 || sizeof &cudnnConvolutionForward == 0;]])],
      [pdag_have_cudnn=yes])
    AC_MSG_RESULT([$pdag_have_cudnn])
    CPPFLAGS=$pdag_saved_CPPFLAGS
    AS_IF([test "$pdag_have_cudnn" = yes],
      [CUDA_CFLAGS="$CUDA_CFLAGS -DPDAG_HAVE_CUDNN=1"],
      [test "$with_cudnn" != auto],
      [AC_MSG_ERROR([--with-cudnn: cuDNN 8 or newer not found])])
  ])
])

AC_DEFUN([PDAG_CHECK_CUDA], [
  AC_ARG_VAR([NVCC], [CUDA compiler])
  AC_ARG_VAR([NVCCFLAGS], [flags of the CUDA compiler])
  AC_ARG_WITH([cuda],
    [AS_HELP_STRING([--with-cuda@<:@=DIR@:>@], [build the CUDA backend @<:@default: where there is nvcc; DIR has bin/nvcc@:>@])],
    [], [with_cuda=auto])
  : ${NVCCFLAGS=-O3}
  pdag_have_cuda=no
  pdag_have_cudnn=no
  pdag_cuda_summary=no
  CUDA_CFLAGS=
  CUDA_DEFS=
  CUDA_LIBS=
  CUDA_ARCH_FLAGS=
  AS_IF([test "$with_cuda" != no], [
    PDAG_CUDA_FIND
    AS_IF([test -n "$NVCC"], [PDAG_CUDA_TRY([PDAG_CUDA_ARCHITECTURES])])
    AS_IF([test "$pdag_have_cuda" = yes], [
      CUDA_CFLAGS="$CUDA_CFLAGS -DPDAG_HAVE_CUDA=1"
      CUDA_DEFS="-DPDAG_CUDA_LIBDIR='\"$pdag_cuda_lib\"'"
      PDAG_CHECK_CUDNN
      pdag_cuda_summary="yes ($NVCC;$pdag_cuda_use; cuDNN: $pdag_have_cudnn)"
    ], [
      CUDA_CFLAGS=
      CUDA_LIBS=
      AS_IF([test "$with_cuda" != auto],
        [AC_MSG_ERROR([--with-cuda: no working nvcc 11.8 or newer with cuBLASLt (give --with-cuda=DIR, or set NVCC)])])
    ])
  ])
  AC_SUBST([CUDA_CFLAGS])
  AC_SUBST([CUDA_DEFS])
  AC_SUBST([CUDA_LIBS])
  AC_SUBST([CUDA_ARCH_FLAGS])
  AM_CONDITIONAL([HAVE_CUDA], [test "$pdag_have_cuda" = yes])
  AM_CONDITIONAL([HAVE_CUDNN], [test "$pdag_have_cudnn" = yes])
])
