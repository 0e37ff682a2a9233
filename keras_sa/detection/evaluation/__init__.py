"""COCO's measures of detections, and detections of image files."""
