# SPDX-License-Identifier: GPL-2.0-only
# shellcheck shell=bash
#
# The kernels there are: the source tree and the fragments that each is made
# of, and which built one is the best start for it. To be sourced.

KT_VARIANTS="default debug locks kcsan rt preempt latency poison nocgroup noktask stock stock-debug"

# The fragments in configs/, later ones winning.
variant_fragments()
{
	case $1 in
	default)	echo base ktask ;;
	debug)		echo base ktask eager locks debug ;;
	locks)		echo base ktask eager locks ;;
	kcsan)		echo base ktask kcsan ;;
	rt)		echo base ktask rt ;;
	preempt)	echo base ktask preempt ;;
	latency)	echo base ktask latency ;;
	poison)		echo base ktask poison ;;
	nocgroup)	echo base nocgroup ;;
	lint)		echo base ktask ;;
	noktask | lint-noktask)	echo base noktask ;;
	lint-nosched)	echo base nocgroup nosched ;;
	stock)		echo base ;;
	stock-debug)	echo base locks debug ;;
	*)		die "no variant $1; there are: $KT_VARIANTS" ;;
	esac
}

# Builds that differ in a few options only: what does not depend on those is
# not compiled again.
variant_siblings()
{
	case $1 in
	default)	echo nocgroup noktask ;;
	nocgroup)	echo default noktask ;;
	noktask)	echo default nocgroup ;;
	esac
}

# stock kernels come from the Linux tree as it is: for comparison.
variant_is_stock()
{
	case $1 in stock*) return 0 ;; *) return 1 ;; esac
}

variant_dir()
{
	variant_fragments "$1" >/dev/null
	echo "$(kt_home)/build/$1"
}
