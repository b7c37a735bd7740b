// A bracket: a steel strip of 120 x 30 x 10 mm with a hole, held at its left end and loaded at its right end.
// Written for this repository. Needs the parameters of a geometry: material, force and mesh size.
SetFactory("OpenCASCADE");
length = 120;
width = 30;
height = 10;
radius = 8;
Box(1) = {0, 0, 0, length, width, height};
Cylinder(2) = {length / 2, width / 2, -1, 0, 0, height + 2, radius};
BooleanDifference(3) = { Volume{1}; Delete; }{ Volume{2}; Delete; };
near = 0.001;
held() = Surface In BoundingBox{-near, -near, -near, near, width + near, height + near};
end() = Surface In BoundingBox{length - near, -near, -near, length + near, width + near, height + near};
Physical Volume("body") = {3};
Physical Surface("fixed") = {held()};
Physical Surface("loaded") = {end()};
