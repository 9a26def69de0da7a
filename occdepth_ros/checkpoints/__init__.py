"""Weights files: conversion of training checkpoints, packing and averaging, and verification with golden outputs."""
