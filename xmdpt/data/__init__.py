"""Data sets of people: DeepFashion In-shop, Market-1501, your own folder, or rendered people.

`images` opens a picture file, `stores` finds pictures, `annotations` reads lists, pairs and key
points, `pairs` and `keypoints` know names and joints, `layouts` other tools' joints, `fit` whether
joints belong to their pictures, `skeletons` reads joints back from a drawn skeleton. `deepfashion`
puts them together as one reader. `survey` says what a data set lacks, `remarks` what in it may not
be meant so, `prepare` checks it and writes its index (`index`), `overlap` compares the splits. May
import `support` and `config`. docs/reproduce/data.md explains the layouts.
"""
