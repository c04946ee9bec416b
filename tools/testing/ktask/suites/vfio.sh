#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Mapping memory for devices through VFIO and iommufd, on the default kernel

. "$(dirname "$0")/common.sh"
run_vfio_selftests default map_
