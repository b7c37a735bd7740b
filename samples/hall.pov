// A columned hall with a long carpet and a pool of light: inside is a place to look around from, for one picture, a walk
// (the clock goes from 0 to 1 along the hall) or a panorama. It refers to no other file.
#version 3.7;
global_settings { assumed_gamma 1.0 max_trace_level 5 }

#declare Length = 36;
#declare Pitch = 4;
#declare Half = 4.2;

camera {
  location <0.9, 1.7, -1.5 + 12*clock>
  right x*image_width/image_height
  angle 68
  look_at <-0.2, 2.45, 14 + 12*clock>
}

// The sun comes through the open side on the right, the sky from everywhere.
light_source { <30, 23, 4> color rgb <1.40, 1.15, 0.80>*1.5 parallel point_at <0, 0, 12> }
light_source { <0, 5.2, 6> color rgb <0.17, 0.18, 0.20> fade_distance 9 fade_power 2 shadowless }
light_source { <0, 5.2, 22> color rgb <0.17, 0.18, 0.20> fade_distance 9 fade_power 2 shadowless }
sky_sphere { pigment { gradient y color_map { [0 rgb <0.93, 0.86, 0.76>] [0.25 rgb <0.62, 0.76, 0.92>] [1 rgb <0.22, 0.42, 0.75>] } } }

#declare Stone = texture {
  pigment { bozo scale 0.7 turbulence 0.6 color_map { [0 rgb <0.80, 0.74, 0.64>] [0.6 rgb <0.86, 0.81, 0.72>] [1 rgb <0.70, 0.63, 0.53>] } }
  finish { ambient rgb <0.10, 0.11, 0.13> diffuse 0.75 }
}
#declare Marble = texture {
  pigment { granite scale 2.4 turbulence 0.3 color_map { [0 rgb <0.93, 0.91, 0.87>] [0.7 rgb <0.86, 0.83, 0.78>] [1 rgb <0.58, 0.55, 0.52>] } }
  finish { ambient rgb <0.09, 0.10, 0.12> diffuse 0.7 specular 0.35 roughness 0.01 reflection { 0.04, 0.30 fresnel } conserve_energy }
}
#declare Slate = texture {
  pigment { granite scale 3 color_map { [0 rgb <0.13, 0.15, 0.17>] [1 rgb <0.24, 0.27, 0.29>] } }
  finish { ambient 0.05 diffuse 0.6 specular 0.4 roughness 0.008 reflection { 0.05, 0.35 fresnel } conserve_energy }
}
#declare Bronze = texture {
  pigment { rgb <0.52, 0.33, 0.15> }
  finish { ambient 0.06 diffuse 0.45 specular 0.6 roughness 0.02 metallic reflection { 0.22 metallic } }
}

// The floor: marble and slate, and a carpet with a border.
box {
  <-7, -0.2, -6>, <5.6, 0, Length>
  texture { checker texture { Marble }, texture { Slate } scale 1.05 translate <0.5, -0.5, 0> }
  interior { ior 1.5 }
}
plane { y, -0.2 pigment { rgb <0.55, 0.50, 0.38> } normal { bumps 0.3 scale 0.4 } finish { ambient 0.1 diffuse 0.7 } }
box { <-1.0, 0, 1>, <1.0, 0.02, Length> pigment { rgb <0.72, 0.55, 0.24> } finish { ambient 0.08 diffuse 0.7 } }
box {
  <-0.86, 0, 1.14>, <0.86, 0.025, Length>
  pigment { radial frequency 10 color_map { [0.5 rgb <0.36, 0.035, 0.05>] [0.5 rgb <0.45, 0.05, 0.06>] } scale 0.4 translate 0.4*z warp { repeat 0.8*z } }
  normal { bumps 0.4 scale 0.015 }
  finish { ambient 0.08 diffuse 0.8 }
}

#declare Column = union {
  box { <-0.46, 0, -0.46>, <0.46, 0.16, 0.46> }
  torus { 0.34, 0.09 translate 0.24*y }
  cone { <0, 0.28, 0>, 0.31, <0, 3.3, 0>, 0.26 }
  torus { 0.27, 0.05 translate 3.3*y }
  cone { <0, 3.32, 0>, 0.27, <0, 3.62, 0>, 0.45 }
  box { <-0.48, 3.62, -0.48>, <0.48, 3.78, 0.48> }
}

// An arch spans from a column to the next one.
#declare Arch = difference {
  box { <-0.36, 3.78, 0>, <0.36, 6.1, Pitch> }
  cylinder { <-1, 3.78, Pitch/2>, <1, 3.78, Pitch/2>, Pitch/2 - 0.36 }
}

#for (Place, 0, Length - Pitch, Pitch)
  #for (Side, -1, 1, 2)
    object { Column translate <Side*Half, 0, Place> texture { Stone } }
    object { Arch translate <Side*Half, 0, Place> texture { Stone translate Place } }
  #end
  // A rib of the vault, and a lamp under every second one.
  difference {
    cylinder { <0, 6.1, Place - 0.2>, <0, 6.1, Place + 0.2>, Half }
    cylinder { <0, 6.1, Place - 1>, <0, 6.1, Place + 1>, Half - 0.3 }
    plane { y, 6.1 }
    texture { Stone }
  }
  #if (mod(Place/Pitch, 2) = 1)
    union {
      cylinder { <0, 5.0, Place>, <0, 9.9, Place>, 0.018 texture { Bronze } }
      torus { 0.55, 0.035 translate <0, 4.9, Place> texture { Bronze } }
      #for (Arm, 0, 5)
        sphere {
          <0.55, 5.02, 0>, 0.085
          rotate 60*Arm*y translate <0, 0, Place>
          pigment { rgb <1, 0.85, 0.6> } finish { ambient 0 diffuse 0.2 emission 1.6 } no_shadow
        }
        cylinder { <0.55, 4.9, 0>, <0, 5.5, 0>, 0.012 rotate 60*Arm*y translate <0, 0, Place> texture { Bronze } }
      #end
    }
  #end
#end

// The vault, the closed side on the left, and the far wall with a round window.
difference {
  cylinder { <0, 6.1, -6>, <0, 6.1, Length>, Half + 0.5 }
  cylinder { <0, 6.1, -7>, <0, 6.1, Length + 1>, Half + 0.02 }
  plane { y, 6.1 }
  pigment { rgb <0.74, 0.72, 0.70> }
  finish { ambient rgb <0.10, 0.11, 0.14> diffuse 0.7 }
}
box { <-Half - 2.2, 0, -6>, <-Half - 1.9, 8, Length> texture { Stone } }
difference {
  box { <-12, 0, Length>, <12, 12, Length + 0.5> }
  cylinder { <0, 6.4, Length - 1>, <0, 6.4, Length + 1>, 1.7 }
  box { <-1.1, 0, Length - 1>, <1.1, 3.2, Length + 1> }
  cylinder { <0, 3.2, Length - 1>, <0, 3.2, Length + 1>, 1.1 }
  texture { Stone }
}
// Behind the camera, where a panorama looks as well.
box { <-12, 0, -6.5>, <12, 12, -6> texture { Stone } }

// Two spheres on pedestals, one of glass and one of bronze.
#declare Pedestal = union { box { <-0.4, 0, -0.4>, <0.4, 0.9, 0.4> } box { <-0.47, 0.9, -0.47>, <0.47, 1.0, 0.47> } }
object { Pedestal translate <-2.3, 0, 5.4> texture { Marble } interior { ior 1.5 } }
sphere {
  <-2.3, 1.52, 5.4>, 0.52
  pigment { rgbt <0.93, 0.98, 0.96, 0.94> }
  finish { ambient 0 diffuse 0.02 specular 0.8 roughness 0.003 reflection { 0.02, 1 fresnel } conserve_energy }
  interior { ior 1.5 fade_distance 2 fade_power 1 }
}
object { Pedestal translate <2.35, 0, 7.2> texture { Marble } interior { ior 1.5 } }
sphere { <2.35, 1.5, 7.2>, 0.5 texture { Bronze } }
