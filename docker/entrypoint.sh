#!/usr/bin/env bash
# Runs the command of the container with ROS and the workspace sourced.
set -e
# shellcheck disable=SC1090
source "/opt/ros/$ROS_DISTRO/setup.bash"
source /ws/install/setup.bash
exec "$@"
