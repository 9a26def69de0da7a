"""OccupancyPrediction to octree streams, markers, clouds, costs: numpy in, CDR bytes out."""
