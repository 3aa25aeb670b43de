# SPDX-License-Identifier: GPL-2.0-or-later
# AX_FM_CFLAG(FLAG), AX_FM_LDFLAG(FLAG): add FLAG if the compiler takes it.
AC_DEFUN([AX_FM_CFLAG], [
	fm_save_CFLAGS=$CFLAGS
	CFLAGS="$CFLAGS -Werror $1"
	AC_MSG_CHECKING([whether $CC accepts $1])
	AC_COMPILE_IFELSE([AC_LANG_PROGRAM()],
		[AC_MSG_RESULT([yes]); FM_CFLAGS="$FM_CFLAGS $1"], [AC_MSG_RESULT([no])])
	CFLAGS=$fm_save_CFLAGS
])
AC_DEFUN([AX_FM_LDFLAG], [
	fm_save_LDFLAGS=$LDFLAGS
	LDFLAGS="$LDFLAGS $1"
	AC_MSG_CHECKING([whether the linker accepts $1])
	AC_LINK_IFELSE([AC_LANG_PROGRAM()],
		[AC_MSG_RESULT([yes]); FM_LDFLAGS="$FM_LDFLAGS $1"], [AC_MSG_RESULT([no])])
	LDFLAGS=$fm_save_LDFLAGS
])
# FM_WITH(NAME, HELP): --with-NAME=auto|yes|no.
AC_DEFUN([FM_WITH], [
	AC_ARG_WITH([$1], [AS_HELP_STRING([--with-$1=auto|yes|no], [$2 (auto)])], [], [with_$1=auto])
	AS_CASE([$with_$1], [auto|yes|no], [], [AC_MSG_ERROR([--with-$1=$with_$1: say auto, yes or no])])
])
# FM_FOUND(NAME, PACKAGES): settle `auto` by found_NAME; `yes` and missing is an error.
AC_DEFUN([FM_FOUND], [
	AS_IF([test "x$found_$1" = xyes], [with_$1=yes],
		[AS_IF([test "x$with_$1" = xyes],
			[AC_MSG_ERROR([--with-$1=yes, but it was not found: install $2])], [with_$1=no])])
])
