#!/bin/sh
# Make configure and Makefile.in from a checkout.
cd "$(dirname "$0")" && exec autoreconf -if
